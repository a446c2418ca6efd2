/** The map: its background, fences, and the vehicles on it. */
import { effect, signal } from "@preact/signals";
import { LngLatBounds, Map as MapLibre, NavigationControl, ScaleControl, AttributionControl, setWorkerUrl, type GeoJSONSource } from "maplibre-gl";
import workerAddress from "maplibre-gl/dist/maplibre-gl-worker.mjs?url";
import type { FeatureCollection } from "geojson";
import { useEffect, useRef } from "preact/hooks";
import { ask } from "../live/api";
import { connection, isFleetKnown } from "../live/channel";
import { fleet, type Kept } from "../live/fleet";
import { show, route } from "../route";
import { hiddenStates } from "../settings";
import { theme } from "../theme";
import { fenceNames } from "../words";
import { drawn } from "./fences";
import { BORDERS, FENCES, overlay, PLACES, ROADS, style, towns, world, WORLD } from "./style";
import { background, type Background } from "./tiles";
import { Tooltip } from "./tooltip";
import { VehiclesLayer } from "./vehicles_layer";

setWorkerUrl(workerAddress);

/** The map follows its element a little later. */
const RESIZED_MS = 250;
const WHOLE_WORLD: [number, number] = [8, 30];
const EMPTY: FeatureCollection = { type: "FeatureCollection", features: [] };

export const hovered = signal<{ vehicle: Kept; left: number; top: number } | null>(null);
const layer = new VehiclesLayer();
let map: MapLibre | null = null;
const data: Record<string, FeatureCollection> = {};

/** Shows everything that drives; without outliers, which a broken receiver puts anywhere. */
export function showAll(animate = true): void {
  const placed = fleet.list.filter((vehicle) => vehicle.latitude !== null);
  if (!map || placed.length === 0) return;
  const longitudes = placed.map((vehicle) => vehicle.longitude!).sort((a, b) => a - b);
  const latitudes = placed.map((vehicle) => vehicle.latitude!).sort((a, b) => a - b);
  const at = (sorted: number[], share: number) => sorted[Math.round((sorted.length - 1) * share)]!;
  const bounds = new LngLatBounds([at(longitudes, 0.01), at(latitudes, 0.01)], [at(longitudes, 0.99), at(latitudes, 0.99)]);
  map.fitBounds(bounds, { padding: 56, maxZoom: 13, animate });
}

export function goTo(vehicleId: string): void {
  const vehicle = fleet.find(vehicleId);
  if (!map || vehicle?.latitude == null || vehicle.longitude === null) return;
  map.easeTo({ center: [vehicle.longitude, vehicle.latitude], zoom: Math.max(map.getZoom(), 12.5), duration: 500 });
}

/** Moves the map only where the vehicle would not be seen. */
function bringIntoView(vehicleId: string): void {
  const vehicle = fleet.find(vehicleId);
  if (!map || vehicle?.latitude == null || vehicle.longitude === null) return;
  if (!map.getBounds().contains([vehicle.longitude, vehicle.latitude])) map.easeTo({ center: [vehicle.longitude, vehicle.latitude], duration: 400 });
}

export function zoomBy(levels: number): void {
  map?.easeTo({ zoom: map.getZoom() + levels, duration: 150 });
}

export function VehicleMap() {
  const element = useRef<HTMLDivElement>(null);
  useEffect(() => start(element.current!), []);
  return (
    <div class="map">
      <div class="map-canvas" ref={element} />
      <Tooltip />
    </div>
  );
}

function start(container: HTMLElement): () => void {
  const made = new MapLibre({
    container,
    style: style(null),
    center: WHOLE_WORLD,
    zoom: 1.2,
    minZoom: 1,
    maxZoom: 19,
    attributionControl: false,
    dragRotate: false,
    pitchWithRotate: false,
    touchPitch: false,
    renderWorldCopies: true,
    fadeDuration: 120,
  });
  map = made;
  made.touchZoomRotate.disableRotation();
  made.keyboard.disableRotation();
  made.addControl(new AttributionControl({ compact: true }), "bottom-right");
  made.addControl(new NavigationControl({ showCompass: false }), "bottom-right");
  made.addControl(new ScaleControl({ maxWidth: 110 }), "bottom-left");
  made.getCanvas().setAttribute("aria-label", "Map of all vehicles. The list of alerts says the same in words.");
  let outside: string | null = null;
  let tiles: Background | null = null;
  const ready = () => {
    if (!made.getLayer(layer.id)) made.addLayer(layer);
    for (const [name, collection] of Object.entries(data)) fill(made, name, collection);
  };
  made.on("style.load", () => {
    if (outside !== null) {
      for (const name of [ROADS, FENCES]) if (!made.getSource(name)) made.addSource(name, { type: "geojson", data: EMPTY });
      for (const each of overlay()) if (!made.getLayer(each.id) && each.type !== "symbol") made.addLayer(each);
    }
    // Somebody may have chosen another theme since it was asked for.
    if (outside === null) dress(made, tiles);
    ready();
  });
  const load = async (names: string[], loading: Promise<FeatureCollection[]>) => {
    const collections = await loading;
    for (const [index, name] of names.entries()) {
      data[name] = collections[index]!;
      fill(made, name, data[name]);
    }
  };
  const about = ask<{ style: string | null; tiles: boolean; roads: boolean }>("/api/v1/map").then((said) => {
    outside = said.style;
    if (outside !== null) made.setStyle(outside);
    const simulated = said.roads ? load([ROADS], ask<FeatureCollection>("/api/v1/map/roads").then((roads) => [roads])) : undefined;
    const land = (isFine: boolean) => load([WORLD, BORDERS], world(isFine).then(({ land, borders }) => [land, borders]));
    const own = async () => {
      await land(false);
      await Promise.all([land(true), load([PLACES], towns().then((all) => [all]))]);
    };
    const fromTiles = async () => {
      tiles = await background();
      made.setStyle(style(tiles), { diff: false });
    };
    // Tiles that cannot be read leave the page its own background.
    return Promise.all([simulated, outside === null ? own() : undefined, said.tiles ? fromTiles() : undefined]);
  });
  about.catch((error: unknown) => console.warn("the map has no background:", error));
  const looks = [
    effect(() => {
      theme.value;
      if (outside === null) dress(made, tiles);
    }),
    effect(() => {
      fleet.version.value;
      made.triggerRepaint();
    }),
    effect(() => {
      layer.selected = route.value.vehicleId;
      layer.hidden = hiddenStates.value;
      fleet.changed.add(0);
      made.triggerRepaint();
    }),
    effect(() => {
      if (connection.value.state === "live") void loadFences();
    }),
    effect(() => {
      if (isFleetKnown.value) showAll(false);
    }),
    effect(() => {
      const { vehicleId } = route.value;
      // Once its panel has taken its part of the width.
      if (vehicleId && isFleetKnown.value) setTimeout(() => bringIntoView(vehicleId), RESIZED_MS);
    }),
  ];
  pointer(made);
  return () => {
    for (const stop of looks) stop();
    made.remove();
    map = null;
  };
}

/** With every connection, since somebody may have put others. */
async function loadFences(): Promise<void> {
  const fences = await ask<FeatureCollection>("/api/v1/fences").catch(() => null);
  if (!fences) return;
  fenceNames.value = new Map(fences.features.map(({ id, properties }) => [String(id), String(properties?.["name"] ?? id)]));
  data[FENCES] = drawn(fences);
  if (map) fill(map, FENCES, data[FENCES]);
}

/** In the colours of the theme. A new style would cut all land into tiles again. */
function dress(target: MapLibre, tiles: Background | null): void {
  for (const { id, paint } of style(tiles).layers) {
    if (!target.getLayer(id)) continue;
    for (const [name, value] of Object.entries(paint ?? {})) target.setPaintProperty(id, name as "line-color", value as string);
  }
}

function fill(target: MapLibre, name: string, collection: FeatureCollection): void {
  const source = target.getSource<GeoJSONSource>(name);
  source?.setData(collection);
}

function pointer(made: MapLibre): void {
  made.on("mousemove", ({ point }) => {
    const vehicle = layer.pick(point.x, point.y);
    made.getCanvas().style.cursor = vehicle ? "pointer" : "";
    hovered.value = vehicle && { vehicle, left: point.x, top: point.y };
  });
  made.on("mouseout", () => (hovered.value = null));
  made.on("movestart", () => (hovered.value = null));
  made.on("click", ({ point }) => {
    const vehicle = layer.pick(point.x, point.y, 20);
    show({ vehicleId: vehicle?.vehicle_id ?? null, alertId: null });
  });
}
