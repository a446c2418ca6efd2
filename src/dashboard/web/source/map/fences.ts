/** Fences as they are drawn: circles get their outline, corridors their width. */
import type { Feature, FeatureCollection, Position } from "geojson";

const EARTH_M = 6_371_008.8;
/** Width of the world in pixels at zoom 22. */
const WORLD_PX_22 = 512 * 2 ** 22;

export function drawn(fences: FeatureCollection): FeatureCollection {
  return { type: "FeatureCollection", features: fences.features.map(one) };
}

function one(fence: Feature): Feature {
  const { geometry, properties } = fence;
  const radius = Number(properties?.["radius_m"]);
  const buffer = Number(properties?.["buffer_m"]);
  if (geometry.type === "Point" && radius > 0) {
    return { ...fence, geometry: { type: "Polygon", coordinates: [circle(geometry.coordinates, radius)] } };
  }
  if (buffer > 0) {
    const first = geometry.type === "LineString" ? geometry.coordinates[0] : geometry.type === "MultiLineString" ? geometry.coordinates[0]?.[0] : undefined;
    const metresPerPixel = (2 * Math.PI * EARTH_M * Math.cos(((first?.[1] ?? 0) * Math.PI) / 180)) / WORLD_PX_22;
    return { ...fence, properties: { ...properties, width_at_22: (2 * buffer) / metresPerPixel } };
  }
  return fence;
}

function circle(centre: Position, radiusM: number): Position[] {
  const [longitude = 0, latitude = 0] = centre;
  const north = ((radiusM / EARTH_M) * 180) / Math.PI;
  const east = north / Math.cos((latitude * Math.PI) / 180);
  return Array.from({ length: 73 }, (_, step) => {
    const angle = (step / 72) * 2 * Math.PI;
    return [longitude + east * Math.cos(angle), latitude + north * Math.sin(angle)];
  });
}
