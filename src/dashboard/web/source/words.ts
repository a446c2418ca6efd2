/** Codes of the API as words, and signals with their units. */
import type { Alert, Handling, Severity, State } from "./live/forms";

export const stateWords: Record<State, string> = { ok: "Driving", alert: "Alert", parked: "Parked", stale: "Silent", offline: "Offline" };
export const stateMeanings: Record<State, string> = {
  ok: "reports, and nothing is wrong",
  alert: "reports, and an alert is open",
  parked: "ignition was off when it last spoke",
  stale: "silent for a while",
  offline: "silent for long",
};
export const severityWords: Record<Severity, string> = { critical: "Critical", warning: "Warning", info: "Info" };
export const handlingWords: Record<Handling, string> = {
  new: "New",
  acknowledged: "Acknowledged",
  assigned: "Assigned",
  silenced: "Silenced",
  resolved: "Resolved",
};

const UNITS: [ending: string, unit: string][] = [
  ["_km_per_h", "km/h"],
  ["_m_per_s2", "m/s²"],
  ["_deg_per_s", "°/s"],
  ["_l_per_100km", "l/100 km"],
  ["_g_per_s", "g/s"],
  ["_rpm", "rpm"],
  ["_percent", "%"],
  ["_celsius", "°C"],
  ["_kpa", "kPa"],
  ["_deg", "°"],
  ["_kwh", "kWh"],
  ["_m", "m"],
  ["_v", "V"],
  ["_a", "A"],
  ["_l", "l"],
  ["_s", "s"],
];

export interface Named {
  name: string;
  unit: string;
}

/** `coolant_temperature_celsius` is "Coolant temperature" in °C; `…​.mean_5m` keeps its statistic. */
export function signalName(code: string): Named {
  const [base = code, statistic] = code.split(".");
  const found = UNITS.find(([ending]) => base.endsWith(ending));
  const words = sentence(found ? base.slice(0, -found[0].length) : base);
  return { name: statistic ? `${words}, ${statisticWords(statistic)}` : words, unit: found?.[1] ?? "" };
}

/** Metres that are many are kilometres. */
export function inUnit(value: number, unit: string): [number, string] {
  return unit === "m" && Math.abs(value) >= 10_000 ? [value / 1_000, "km"] : [value, unit];
}

function statisticWords(statistic: string): string {
  const [kind = "", span] = statistic.split("_");
  return span ? `${kind.replace("std", "deviation")} over ${span.replace(/(\d)([a-z])/, "$1 $2")}` : kind;
}

/** "rule:tire_leak_fast" is "Tire leak fast". */
export function alertTitle({ alert_key }: Pick<Alert, "alert_key">): string {
  const [kind = "", name = "", what] = alert_key.split(":");
  if (kind === "fence") return `${{ enter: "Entered", exit: "Left", dwell: "Stayed in", speed: "Too fast in" }[what ?? ""] ?? sentence(what ?? "")} ${name}`;
  if (kind === "model") return `Unusual ${sentence(what ?? "behaviour").toLowerCase()}`;
  return sentence(name || alert_key);
}

/** The server's sentence, with names in place of codes. */
export function summary(text: string): string {
  const named = text.replace(/\b[a-z0-9]+(?:_[a-z0-9]+)+\b/g, (code) => {
    const { name, unit } = signalName(code);
    return unit || code === "gear" ? name.charAt(0).toLowerCase() + name.slice(1) : code.replaceAll("_", " ");
  });
  return named.charAt(0).toUpperCase() + named.slice(1);
}

/** Who raised it. */
export function alertSource({ alert_key }: Pick<Alert, "alert_key">): string {
  const [kind = "", name = ""] = alert_key.split(":");
  return kind === "model" ? `model ${name}` : kind;
}

export function sentence(code: string): string {
  const words = code.replaceAll("_", " ").trim();
  const first = words.charAt(0).toUpperCase() + words.slice(1);
  return first.replace(/\bGps\b|\bgps\b/g, "GPS").replace(/\bEgr\b|\begr\b/g, "EGR");
}

export const notScoredWords: Record<string, string> = {
  no_model: "no model is active",
  future: "its clock is ahead of ours",
  before_window: "too late for the window that is kept",
  too_few_readings: "too few readings so far",
  too_many_missing: "too many signals are missing",
  gap_too_long: "the gap before it is too long",
  model_failed: "the model failed",
  not_applicable: "no model is for this vehicle",
};

export const rejectionWords: Record<string, string> = {
  not_finite: "no number",
  out_of_range: "outside of its range",
  too_many_extras: "one signal too many",
};
