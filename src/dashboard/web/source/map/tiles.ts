/** A background out of the PMTiles file that the settings name: vector tiles in the words of Protomaps or OpenMapTiles, or pictures. */
import { addProtocol, type StyleSpecification } from "maplibre-gl";
import { colour } from "../theme";

export const TILES = "tiles";
const ADDRESS = "/api/v1/map/tiles.pmtiles";
const FONT = ["Inter Variable"];

type Layer = StyleSpecification["layers"][number];
type Filter = unknown[];

export interface Background {
  source: StyleSpecification["sources"][string];
  /** The layers of vector tiles; null: pictures. */
  vectors: ReadonlySet<string> | null;
}

/** Asks the file what it has. */
export async function background(): Promise<Background> {
  const { PMTiles, Protocol, TileType } = await import("pmtiles");
  const address = new URL(ADDRESS, location.href).href;
  const file = new PMTiles(address);
  const protocol = new Protocol();
  protocol.add(file);
  addProtocol("pmtiles", protocol.tile);
  const [{ tileType }, metadata] = await Promise.all([file.getHeader(), file.getMetadata() as Promise<{ attribution?: string; vector_layers?: { id: string }[] }>]);
  const isVector = tileType === TileType.Mvt || tileType === TileType.Unknown;
  const source = { url: `pmtiles://${address}`, attribution: plain(metadata.attribution ?? "") };
  return {
    source: isVector ? { type: "vector", ...source } : { type: "raster", tileSize: 256, ...source },
    vectors: isVector ? new Set((metadata.vector_layers ?? []).map(({ id }) => id)) : null,
  };
}

/** Everything below roads of the simulator, fences and vehicles. */
export function tileLayers({ vectors }: Background): Layer[] {
  if (!vectors) return [{ id: "tile-pictures", type: "raster", source: TILES }];
  return LAYERS.flatMap(({ names, ...look }) =>
    names.filter((name) => vectors.has(name)).map((name) => ({ ...look, id: `tile-${look.id}-${name}`, source: TILES, "source-layer": name, ...dressed(look.id) }) as Layer),
  );
}

/** What is drawn, by the names that the two schemas have for it. */
const LAYERS: { id: Dressed; names: string[]; type: "fill" | "line" | "symbol"; filter?: Filter; minzoom?: number }[] = [
  { id: "earth", names: ["earth"], type: "fill" },
  { id: "green", names: ["landuse", "landcover", "park"], type: "fill", filter: kinds(["park", "forest", "wood", "grass", "nature_reserve", "national_park", "cemetery", "golf_course", "public_park"]) },
  { id: "water", names: ["water"], type: "fill", filter: ["==", ["geometry-type"], "Polygon"] },
  { id: "river", names: ["water", "waterway"], type: "line", filter: ["==", ["geometry-type"], "LineString"], minzoom: 8 },
  { id: "buildings", names: ["buildings", "building"], type: "fill", minzoom: 14 },
  { id: "borders", names: ["boundaries", "boundary"], type: "line" },
  { id: "streets", names: ["roads", "transportation"], type: "line", filter: kinds(["minor_road", "minor", "tertiary", "service", "street"]), minzoom: 11 },
  { id: "main-roads", names: ["roads", "transportation"], type: "line", filter: kinds(["major_road", "medium_road", "primary", "secondary", "trunk"]), minzoom: 7 },
  { id: "motorways", names: ["roads", "transportation"], type: "line", filter: kinds(["highway", "motorway"]), minzoom: 4 },
  { id: "places", names: ["places", "place"], type: "symbol", filter: kinds(["locality", "city", "town", "village"]) },
];

type Dressed = "earth" | "green" | "water" | "river" | "buildings" | "borders" | "streets" | "main-roads" | "motorways" | "places";

function dressed(id: Dressed): object {
  const width = (thin: number, thick: number) => ["interpolate", ["exponential", 1.5], ["zoom"], 7, thin, 16, thick];
  const road = (name: string, thin: number, thick: number) => ({
    layout: { "line-cap": "round", "line-join": "round" },
    paint: { "line-color": colour(name), "line-width": width(thin, thick) },
  });
  switch (id) {
    case "earth":
      return { paint: { "fill-color": colour("--land") } };
    case "green":
      return { paint: { "fill-color": colour("--green") } };
    case "water":
      return { paint: { "fill-color": colour("--sea") } };
    case "river":
      return { paint: { "line-color": colour("--sea"), "line-width": 1.5 } };
    case "buildings":
      return { paint: { "fill-color": colour("--road-case") } };
    case "borders":
      return { paint: { "line-color": colour("--border-line"), "line-dasharray": [4, 2] } };
    case "streets":
      return road("--road", 0.3, 6);
    case "main-roads":
      return road("--road", 0.8, 9);
    case "motorways":
      return road("--motorway", 1.2, 11);
    case "places":
      return {
        layout: {
          "text-field": ["coalesce", ["get", "name"], ["get", "name:latin"]],
          "text-font": FONT,
          "text-size": ["interpolate", ["linear"], ["zoom"], 4, 10.5, 14, 14],
          "text-max-width": 8,
        },
        paint: { "text-color": colour("--place"), "text-halo-color": colour("--land"), "text-halo-width": 1.5 },
      };
  }
}

/** Protomaps says `kind`, OpenMapTiles `class`. */
function kinds(names: string[]): Filter {
  return ["in", ["coalesce", ["get", "kind"], ["get", "class"], ""], ["literal", names]];
}

/** Attributions are HTML of whoever made the file. */
function plain(html: string): string {
  return new DOMParser().parseFromString(html, "text/html").body.textContent ?? "";
}
