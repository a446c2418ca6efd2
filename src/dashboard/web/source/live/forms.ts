/** What the API says (CONTRACTS §6 and §8). */

export type State = "ok" | "alert" | "parked" | "stale" | "offline";
export type Severity = "info" | "warning" | "critical";
export type Condition = "active" | "cleared" | "unknown";
export type Handling = "new" | "acknowledged" | "assigned" | "silenced" | "resolved";
export type Verdict = "confirmed" | "false_alarm";

export interface Explained {
  feature: string;
  value: number | null;
  normal: number | null;
  cohort_normal: number | null;
  contribution: number;
}

export interface Alert {
  alert_id: string;
  vehicle_id: string;
  alert_key: string;
  severity: Severity;
  condition: Condition;
  handling: Handling;
  opened_at: string;
  last_seen_at: string;
  closed_at: string | null;
  count: number;
  summary: string;
  value: number | null;
  limit: number | null;
  score: number | null;
  explanation: Explained[];
  acknowledged_by: string | null;
  assigned_to: string | null;
  silenced_until: string | null;
  verdict: Verdict | null;
  note: string | null;
  is_history: boolean;
  revision: number;
}

export interface AlertHistory {
  revision: number;
  change: string;
  at: string;
  handling: Handling;
  condition: Condition;
  summary: string;
  acknowledged_by: string | null;
  assigned_to: string | null;
  note: string | null;
}

export interface ModelScore {
  model: string;
  version: string;
  score: number;
  raw: number;
  tail_probability: number;
}

export interface Model {
  name: string;
  version: string;
  status: string;
  kind: string;
  description: string;
  author: string;
  license: string;
  features: string[];
  applies_to: { classes: string[]; powertrains: string[] };
  alert: { measure: "raw" | "tail_probability"; open: number; close: number; raised: number; of: number };
  file_bytes: number;
}

export interface Finding {
  key: string;
  severity: Severity;
  raised: boolean;
  value: number | null;
  limit: number | null;
}

export interface Position {
  latitude: number;
  longitude: number;
  altitude_m?: number;
  heading_deg?: number;
  accuracy_m?: number;
}

/** What a vehicle and a reading have in common. */
export interface Moment {
  recorded_at: string | null;
  received_at: string | null;
  position: Position | null;
  signals: Record<string, number>;
  extras?: Record<string, number>;
  ignition?: string;
  dtcs?: string[];
  rejected?: { name: string; value: number | null; reason: string }[];
  score: number | null;
  scores: ModelScore[];
  not_scored?: string;
  findings?: Finding[];
  /** Only what is wrong. */
  quality?: { stuck?: string[]; position?: "jump" | "frozen"; clock?: "frozen"; sequence?: "conflict" };
}

export interface Reading extends Moment {
  recorded_at: string;
  received_at: string;
  late: boolean;
  timing: "in_order" | "late" | "delayed" | "future";
  arrival: number;
}

export interface Vehicle extends Moment {
  vehicle_id: string;
  state: State;
  open_alerts: Alert[];
  lost_before_us?: number;
  record: {
    class: string;
    powertrain: string | null;
    groups: string[];
    tank_l: number | null;
    battery_kwh: number | null;
    make: string | null;
  } | null;
}

/** `vehicle_id`, latitude, longitude, heading, speed, score, state, `recorded_at`, `received_at`. */
export type Row = [string, number | null, number | null, number | null, number | null, number | null, State, number, number];

export type LiveMessage =
  | { type: "snapshot"; sequence: number; now: number; complete: boolean; stale_after_ms: number; offline_after_ms: number; vehicles: Row[] }
  | { type: "changes"; sequence: number; now: number; complete: boolean; vehicles: Row[] }
  | { type: "alerts"; sequence: number; complete: boolean; open: number; alerts: Alert[] }
  | { type: "alert"; sequence: number; change: string; at: string; alert: Alert }
  | { type: "vehicle"; vehicle: Vehicle }
  | { type: "beat"; now: number }
  | { type: "problem"; problem: { detail: string } };
