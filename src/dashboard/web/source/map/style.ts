/** The map's background without anybody's server: land, borders, towns, and the country that the simulator drives in. */
import type { FeatureCollection, MultiLineString, Position } from "geojson";
import type { StyleSpecification } from "maplibre-gl";
import { feature, mesh } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";
import finelyAddress from "world-atlas/countries-10m.json?url";
import roughlyAddress from "world-atlas/countries-110m.json?url";
import { colour } from "../theme";
import { tileLayers, TILES, type Background } from "./tiles";

const NOTHING: FeatureCollection = { type: "FeatureCollection", features: [] };
const FONT = ["Inter Variable"];

export const ROADS = "roads";
export const FENCES = "fences";
export const PLACES = "places";
export const WORLD = "world";
export const BORDERS = "borders";

/** `tiles`: they lie on the land, which shows where they end. */
export function style(tiles: Background | null): StyleSpecification {
  const source = (data: FeatureCollection) => ({ type: "geojson" as const, data });
  return {
    version: 8,
    sources: {
      [WORLD]: { ...source(NOTHING), attribution: "Natural Earth" },
      [BORDERS]: source(NOTHING),
      [ROADS]: source(NOTHING),
      [PLACES]: { ...source(NOTHING), attribution: "GeoNames (CC BY 4.0)" },
      [FENCES]: source(NOTHING),
      ...(tiles && { [TILES]: tiles.source }),
    },
    layers: [
      { id: "sea", type: "background", paint: { "background-color": colour("--sea") } },
      { id: "land", type: "fill", source: WORLD, paint: { "fill-color": colour("--land"), "fill-antialias": true } },
      ...(tiles ? tileLayers(tiles) : borders()),
      ...roads(),
      ...fences(),
      ...(tiles ? [] : places()),
    ],
  };
}

/** Layers that stand on a style of somebody else as well. */
export function overlay(): StyleSpecification["layers"] {
  return [...roads(), ...fences()];
}

function borders(): StyleSpecification["layers"] {
  return [
    {
      id: "borders",
      type: "line",
      source: BORDERS,
      paint: { "line-color": colour("--border-line"), "line-width": ["interpolate", ["linear"], ["zoom"], 2, 0.5, 8, 1.2], "line-dasharray": [4, 2] },
    },
  ];
}

function roads(): StyleSpecification["layers"] {
  const width = (thin: number, thick: number) => ["interpolate", ["exponential", 1.5], ["zoom"], 7, thin, 15, thick] as unknown as number;
  const classes: [name: string, thin: number, thick: number, minzoom: number][] = [
    ["street", 0.2, 5, 10],
    ["arterial", 0.5, 7, 8],
    ["country", 0.6, 7, 7],
    ["motorway", 1.3, 11, 5],
  ];
  const line = (kind: "case" | "fill") =>
    classes.map(([name, thin, thick, minzoom]) => ({
      id: `road-${name}-${kind}`,
      type: "line" as const,
      source: ROADS,
      minzoom,
      filter: ["==", ["get", "class"], name] as unknown as boolean,
      layout: { "line-cap": "round" as const, "line-join": "round" as const },
      paint:
        kind === "case"
          ? { "line-color": colour("--road-case"), "line-width": width(thin + 0.8, thick + 2.5) }
          : { "line-color": colour(name === "motorway" ? "--motorway" : "--road"), "line-width": width(thin, thick) },
    }));
  return [...line("case"), ...line("fill")];
}

function fences(): StyleSpecification["layers"] {
  return [
    { id: "fence-area", type: "fill", source: FENCES, filter: ["==", ["geometry-type"], "Polygon"], paint: { "fill-color": colour("--fence"), "fill-opacity": 0.1 } },
    {
      id: "fence-corridor",
      type: "line",
      source: FENCES,
      filter: ["has", "width_at_22"],
      layout: { "line-cap": "round", "line-join": "round" },
      paint: {
        "line-color": colour("--fence"),
        "line-opacity": 0.14,
        "line-width": ["interpolate", ["exponential", 2], ["zoom"], 0, ["/", ["get", "width_at_22"], 2 ** 22], 22, ["get", "width_at_22"]],
      },
    },
    { id: "fence-line", type: "line", source: FENCES, paint: { "line-color": colour("--fence"), "line-width": 1.5, "line-dasharray": [3, 2] } },
    {
      id: "fence-name",
      type: "symbol",
      source: FENCES,
      minzoom: 9,
      layout: { "text-field": ["get", "name"], "text-font": FONT, "text-size": 11, "symbol-placement": "point" },
      paint: { "text-color": colour("--fence"), "text-halo-color": colour("--land"), "text-halo-width": 1.4 },
    },
  ];
}

/** The larger a town, the earlier it is named. */
function places(): StyleSpecification["layers"] {
  return [
    {
      id: "places",
      type: "symbol",
      source: PLACES,
      filter: [">=", ["get", "population"], ["step", ["zoom"], 4e6, 4, 1e6, 5, 5e5, 6, 25e4, 7, 1e5, 8, 5e4, 9, 0]],
      layout: {
        "text-field": ["get", "name"],
        "text-font": FONT,
        "text-size": ["interpolate", ["linear"], ["zoom"], 4, 10.5, 9, ["case", [">=", ["get", "population"], 1e5], 13.5, 11], 14, 15],
        "text-padding": 6,
        "symbol-sort-key": ["-", 0, ["get", "population"]],
        "text-max-width": 8,
        "text-offset": [0, -1.1],
      },
      paint: { "text-color": colour("--place"), "text-halo-color": colour("--land"), "text-halo-width": 1.5 },
    },
  ];
}

export interface World {
  land: FeatureCollection;
  borders: FeatureCollection;
}

/** `isFine`: for a look from near; 1 MB instead of 50 kB. */
export async function world(isFine: boolean): Promise<World> {
  const topology = (await (await fetch(isFine ? finelyAddress : roughlyAddress)).json()) as Topology<{ countries: GeometryCollection; land: GeometryCollection }>;
  const land = feature(topology, topology.objects.land);
  for (const { geometry } of land.features) {
    if (geometry.type === "Polygon") geometry.coordinates = geometry.coordinates.map(ring);
    if (geometry.type === "MultiPolygon") geometry.coordinates = geometry.coordinates.map((rings) => rings.map(ring));
  }
  const meshed = mesh(topology, topology.objects.countries, (a, b) => a !== b);
  const borders: MultiLineString = { ...meshed, coordinates: meshed.coordinates.map(unwrapped) };
  return { land, borders: { type: "FeatureCollection", features: [{ type: "Feature", properties: {}, geometry: borders }] } };
}

/** Beyond the antimeridian a way goes on, and MapLibre draws it on both sides; the atlas jumps back, across the whole map. */
function unwrapped(way: Position[]): Position[] {
  let turned = 0;
  return way.map(([longitude = 0, latitude = 0], index) => {
    const step = longitude - (way[index - 1]?.[0] ?? longitude);
    if (Math.abs(step) > 180) turned -= 360 * Math.sign(step);
    return [longitude + turned, latitude];
  });
}

/** One that does not come back to where it began goes around a pole (Antarctica), and closes over it. */
function ring(points: Position[]): Position[] {
  const way = unwrapped(points);
  const [first, last] = [way[0]!, way.at(-1)!];
  if (first[0] === last[0]) return way;
  const pole = last[1]! < 0 ? -90 : 90;
  return [...way, [last[0]!, pole], [first[0]!, pole], first];
}

export async function towns(): Promise<FeatureCollection> {
  const { default: rows } = await import("virtual:places");
  return {
    type: "FeatureCollection",
    features: rows.map(([name, longitude, latitude, population]) => ({
      type: "Feature",
      properties: { name, population },
      geometry: { type: "Point", coordinates: [longitude, latitude] },
    })),
  };
}
