/** The vehicles as columns: ten thousand of them change every few seconds, and the map reads them as they are. No drawing here. */
import { signal } from "@preact/signals";
import type { Row, Severity, State } from "./forms";

export const STATES: readonly State[] = ["alert", "ok", "parked", "stale", "offline"];
const MOST_MOVED_M = 3_000;

export interface Shown {
  vehicle_id: string;
  state: State;
  severity: Severity | null;
  speed_km_per_h: number | null;
  heading_deg: number | null;
  score: number | null;
  latitude: number | null;
  longitude: number | null;
  recorded_at: number;
  received_at: number;
}

interface Kept extends Shown {
  /** Without time: ok, alert or parked. */
  told: State;
  /** Mercator, 0 to 1; NaN where there is no position. */
  x: number;
  y: number;
  /** Where it was drawn before, for the way from there. */
  fromX: number;
  fromY: number;
  movedAt: number;
  connection: number;
}

class Fleet {
  readonly list: Kept[] = [];
  readonly byId = new Map<string, number>();
  /** Rises whenever something in the fleet is other than before. */
  readonly version = signal(0);
  readonly counts = signal<Record<State, number>>(noCounts());
  /** Places in `list` that changed since the map last looked. */
  readonly changed = new Set<number>();
  /** The order of `list` changed. */
  isReordered = true;
  staleAfter = 300_000;
  offlineAfter = 1_800_000;
  /** The server's clock less ours. */
  clockOffset = 0;
  worst: (vehicleId: string) => Severity | null = () => null;

  now(): number {
    return Date.now() + this.clockOffset;
  }

  apply(rows: Row[], connection: number, at: number): void {
    for (const row of rows) {
      const [id, latitude, longitude, heading, speed, score, state, recordedAt, receivedAt] = row;
      let index = this.byId.get(id);
      if (index === undefined) {
        index = this.list.length;
        this.byId.set(id, index);
        this.list.push(blank(id));
      }
      const vehicle = this.list[index]!;
      const [x, y] = latitude === null || longitude === null ? [NaN, NaN] : mercator(latitude, longitude);
      if (x !== vehicle.x || y !== vehicle.y) {
        const metres = Math.hypot(x - vehicle.x, y - vehicle.y) * 40_075_017;
        const glides = metres < MOST_MOVED_M;
        [vehicle.fromX, vehicle.fromY] = glides ? [vehicle.x, vehicle.y] : [x, y];
        [vehicle.x, vehicle.y, vehicle.movedAt] = [x, y, at];
      }
      vehicle.latitude = latitude;
      vehicle.longitude = longitude;
      vehicle.heading_deg = heading;
      vehicle.speed_km_per_h = speed;
      vehicle.score = score;
      vehicle.told = state;
      vehicle.recorded_at = recordedAt;
      vehicle.received_at = receivedAt;
      vehicle.connection = connection;
      this.judge(vehicle);
      this.changed.add(index);
    }
  }

  /** Silence comes without a message; alerts come by another channel. */
  judgeAll(): void {
    const counts = noCounts();
    for (const [index, vehicle] of this.list.entries()) {
      const before = [vehicle.state, vehicle.severity] as const;
      this.judge(vehicle);
      if (vehicle.state !== before[0] || vehicle.severity !== before[1]) this.changed.add(index);
      counts[vehicle.state] += 1;
    }
    const known = this.counts.peek();
    if (STATES.some((state) => counts[state] !== known[state])) this.counts.value = counts;
    this.version.value += 1;
  }

  /** Vehicles that the server does not know any more. */
  forget(beforeConnection: number): void {
    const kept = this.list.filter((vehicle) => vehicle.connection >= beforeConnection);
    if (kept.length === this.list.length) return;
    this.list.splice(0, this.list.length, ...kept);
    this.byId.clear();
    for (const [index, vehicle] of kept.entries()) this.byId.set(vehicle.vehicle_id, index);
    this.isReordered = true;
  }

  find(id: string): Kept | undefined {
    const index = this.byId.get(id);
    return index === undefined ? undefined : this.list[index];
  }

  private judge(vehicle: Kept): void {
    const silence = this.now() - vehicle.received_at;
    vehicle.severity = this.worst(vehicle.vehicle_id);
    if (vehicle.told === "parked") vehicle.state = "parked";
    else if (silence >= this.offlineAfter) vehicle.state = "offline";
    else if (silence >= this.staleAfter) vehicle.state = "stale";
    else vehicle.state = vehicle.severity ? "alert" : "ok";
  }
}

export const fleet = new Fleet();
export type { Kept };

export function mercator(latitude: number, longitude: number): [number, number] {
  const clamped = Math.max(-85.05, Math.min(85.05, latitude));
  const y = 0.5 - Math.log(Math.tan(Math.PI / 4 + (clamped * Math.PI) / 360)) / (2 * Math.PI);
  return [longitude / 360 + 0.5, y];
}

function noCounts(): Record<State, number> {
  return { ok: 0, alert: 0, parked: 0, stale: 0, offline: 0 };
}

function blank(vehicle_id: string): Kept {
  return {
    vehicle_id,
    state: "ok",
    told: "ok",
    severity: null,
    speed_km_per_h: null,
    heading_deg: null,
    score: null,
    latitude: null,
    longitude: null,
    recorded_at: 0,
    received_at: 0,
    x: NaN,
    y: NaN,
    fromX: NaN,
    fromY: NaN,
    movedAt: 0,
    connection: 0,
  };
}
