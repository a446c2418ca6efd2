/** The readings of the open vehicle: the past from the archive, then each new one as it comes. */
import { signal } from "@preact/signals";
import { readings } from "./api";
import type { Moment, Reading, Vehicle } from "./forms";

export const RANGES: [minutes: number, words: string][] = [
  [15, "15 min"],
  [60, "1 h"],
  [360, "6 h"],
  [1_440, "24 h"],
];

export const range = signal(15);
/** Replaced with every change; oldest first. */
export const moments = signal<Moment[]>([]);
export const loading = signal<{ state: "loading" | "done" } | { state: "failed"; why: string }>({ state: "loading" });

export function load(vehicleId: string, minutes: number, now: number): () => void {
  const abort = new AbortController();
  moments.value = [];
  loading.value = { state: "loading" };
  void (async () => {
    try {
      for await (const page of readings(vehicleId, new Date(now - minutes * 60_000), abort.signal)) {
        merge(page);
      }
      loading.value = { state: "done" };
    } catch (error) {
      if (!abort.signal.aborted) loading.value = { state: "failed", why: error instanceof Error ? error.message : String(error) };
    }
  })();
  return () => abort.abort();
}

export function add(vehicle: Vehicle): void {
  if (vehicle.recorded_at) merge([vehicle]);
}

/** What leaves the range on its old side is forgotten. */
export function trim(from: number): void {
  const all = moments.peek();
  const keep = all.findIndex((moment) => Date.parse(moment.recorded_at!) >= from);
  if (keep > 0) moments.value = all.slice(keep);
}

function merge(more: (Reading | Vehicle)[]): void {
  const all = moments.peek();
  const newest = all.at(-1)?.recorded_at ?? "";
  const isBehind = more.every((moment, index) => moment.recorded_at! > (index === 0 ? newest : more[index - 1]!.recorded_at!));
  if (isBehind) {
    moments.value = [...all, ...more];
    return;
  }
  const byTime = new Map([...all, ...more].map((moment) => [moment.recorded_at!, moment]));
  moments.value = [...byTime.values()].sort((a, b) => (a.recorded_at! < b.recorded_at! ? -1 : 1));
}
