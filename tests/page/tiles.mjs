// A PMTiles file (version 3) with one vector tile of the whole world, which is all forest.
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const require = createRequire(fileURLToPath(new URL("../../src/dashboard/web/package.json", import.meta.url)));
const { fromGeojsonVt } = require("@maplibre/vt-pbf");

const HEADER_BYTES = 127;
const [UNCOMPRESSED, VECTOR] = [1, 1];

/** In the words of Protomaps. */
export function aForest() {
  const world = [[[0, 0], [4096, 0], [4096, 4096], [0, 4096], [0, 0]]];
  const tile = Buffer.from(fromGeojsonVt({ landuse: { features: [{ type: 3, geometry: world, tags: { kind: "forest" } }] } }, { version: 2 }));
  const metadata = Buffer.from(JSON.stringify({ attribution: "<a href='https://example.org'>Foresters</a>", vector_layers: [{ id: "landuse", fields: {} }] }));
  // One entry: tile 0, run of 1, its length, at the beginning (offsets are kept one higher).
  const directory = Buffer.from([1, 0, 1, ...varint(tile.length), 1]);
  const header = Buffer.alloc(HEADER_BYTES);
  header.write("PMTiles");
  header[7] = 3;
  let at = HEADER_BYTES;
  for (const [index, section] of [directory, metadata, Buffer.alloc(0), tile].entries()) {
    header.writeBigUInt64LE(BigInt(at), 8 + 16 * index);
    header.writeBigUInt64LE(BigInt(section.length), 16 + 16 * index);
    at += section.length;
  }
  // Tiles addressed, entries, contents.
  for (const offset of [72, 80, 88]) header.writeBigUInt64LE(1n, offset);
  [header[96], header[97], header[98], header[99]] = [1, UNCOMPRESSED, UNCOMPRESSED, VECTOR];
  for (const [offset, degrees] of [[102, -180], [106, -85], [110, 180], [114, 85]]) header.writeInt32LE(degrees * 1e7, offset);
  return Buffer.concat([header, directory, metadata, tile]);
}

function varint(number) {
  return number < 128 ? [number] : [(number & 127) | 128, ...varint(number >> 7)];
}
