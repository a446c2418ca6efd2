/** Alerts as they open, change and close; filters, and groups of those with one cause. */
import { computed, signal } from "@preact/signals";
import { fleet } from "./fleet";
import type { Alert, Handling, Severity } from "./forms";

export const SEVERITIES: readonly Severity[] = ["critical", "warning", "info"];
/** Closed ones that stay in the list, so that nobody wonders where one went. */
const MOST_CLOSED = 50;
/** So many vehicles with one key are shown as one line. */
const GROUP_FROM = 5;

class Alerts {
  readonly open = new Map<string, Alert>();
  /** Newest first. */
  closed: Alert[] = [];
  readonly version = signal(0);
  /** More are open than were sent. */
  readonly openCount = signal(0);
  /** For `after` of the next connection. */
  sequence: number | null = null;
  readonly isKnown = signal(false);
  /** Keys of alerts that opened while this page looked on, for a moment. */
  readonly fresh = new Set<string>();
  private arriving: Map<string, Alert> | null = null;
  private readonly worst = new Map<string, Severity>();

  constructor() {
    fleet.worst = (id) => this.worst.get(id) ?? null;
  }

  /** Part of all that is open. */
  replace(part: Alert[], sequence: number, complete: boolean, openCount: number): void {
    this.arriving ??= new Map();
    for (const alert of part) this.arriving.set(alert.alert_id, alert);
    if (!complete) return;
    for (const alert of this.open.values()) {
      // It closed while we were away; what became of it is in the archive.
      if (!this.arriving.has(alert.alert_id)) this.close({ ...alert, condition: "cleared" });
    }
    this.open.clear();
    for (const [id, alert] of this.arriving) this.open.set(id, alert);
    this.arriving = null;
    this.sequence = sequence;
    this.openCount.value = openCount;
    this.isKnown.value = true;
    this.changed();
  }

  take(alert: Alert, change: string, sequence: number | null): void {
    if (sequence !== null) this.sequence = sequence;
    const known = this.open.get(alert.alert_id) ?? this.closed.find((each) => each.alert_id === alert.alert_id);
    if (known && known.revision >= alert.revision) return;
    if (alert.condition === "cleared") {
      if (this.open.delete(alert.alert_id)) this.openCount.value -= 1;
      this.close(alert);
    } else {
      if (!this.open.has(alert.alert_id)) this.openCount.value += 1;
      this.open.set(alert.alert_id, alert);
      this.closed = this.closed.filter((each) => each.alert_id !== alert.alert_id);
      if (change === "opened") this.flash(alert.alert_id);
    }
    this.changed();
  }

  find(id: string): Alert | undefined {
    return this.open.get(id) ?? this.closed.find((alert) => alert.alert_id === id);
  }

  ofVehicle(id: string): Alert[] {
    return [...this.open.values()].filter((alert) => alert.vehicle_id === id).sort(inOrder);
  }

  private close(alert: Alert): void {
    if (alert.is_history) return;
    this.closed = [alert, ...this.closed.filter((each) => each.alert_id !== alert.alert_id)].slice(0, MOST_CLOSED);
  }

  private flash(id: string): void {
    this.fresh.add(id);
    setTimeout(() => this.fresh.delete(id), 4_000);
  }

  private changed(): void {
    this.worst.clear();
    for (const { vehicle_id, severity, handling } of this.open.values()) {
      if (handling === "resolved") continue;
      const known = this.worst.get(vehicle_id);
      if (!known || rank(severity) < rank(known)) this.worst.set(vehicle_id, severity);
    }
    this.version.value += 1;
    fleet.judgeAll();
  }
}

export const alerts = new Alerts();

export const filters = {
  severities: signal<ReadonlySet<Severity>>(new Set(SEVERITIES)),
  /** Whose turn it is. */
  show: signal<"unhandled" | "all">("all"),
  text: signal(""),
  /** Keys whose group is unfolded. */
  unfolded: signal<ReadonlySet<string>>(new Set()),
};

/** A line of the list. */
export type Line =
  | { kind: "alert"; alert: Alert; isInGroup: boolean }
  | { kind: "group"; key: string; alerts: Alert[]; isUnfolded: boolean }
  | { kind: "closed"; count: number };

export const lines = computed<Line[]>(() => {
  alerts.version.value;
  const severities = filters.severities.value;
  const text = filters.text.value.trim().toLowerCase();
  const isWanted = (alert: Alert) =>
    severities.has(alert.severity) &&
    (filters.show.value === "all" || isUnhandled(alert.handling)) &&
    (text === "" || `${alert.vehicle_id} ${alert.alert_key} ${alert.summary}`.toLowerCase().includes(text));
  const open = [...alerts.open.values()].filter(isWanted).sort(inOrder);
  const byKey = Map.groupBy(open, (alert) => alert.alert_key);
  const result: Line[] = [];
  const done = new Set<string>();
  for (const alert of open) {
    const group = byKey.get(alert.alert_key)!;
    if (group.length < GROUP_FROM) {
      result.push({ kind: "alert", alert, isInGroup: false });
    } else if (!done.has(alert.alert_key)) {
      done.add(alert.alert_key);
      const isUnfolded = filters.unfolded.value.has(alert.alert_key);
      result.push({ kind: "group", key: alert.alert_key, alerts: group, isUnfolded });
      if (isUnfolded) result.push(...group.map((each): Line => ({ kind: "alert", alert: each, isInGroup: true })));
    }
  }
  const closed = alerts.closed.filter(isWanted);
  if (closed.length > 0) {
    result.push({ kind: "closed", count: closed.length });
    result.push(...closed.map((alert): Line => ({ kind: "alert", alert, isInGroup: false })));
  }
  return result;
});

export function isUnhandled(handling: Handling): boolean {
  return handling === "new";
}

export function isOver(alert: Alert): boolean {
  return alert.condition === "cleared" || alert.handling === "resolved";
}

function rank(severity: Severity): number {
  return SEVERITIES.indexOf(severity);
}

/** What needs somebody first, most severe, newest. */
function inOrder(a: Alert, b: Alert): number {
  const resolved = Number(a.handling === "resolved") - Number(b.handling === "resolved");
  return resolved || rank(a.severity) - rank(b.severity) || (a.opened_at < b.opened_at ? 1 : a.opened_at > b.opened_at ? -1 : 0);
}
