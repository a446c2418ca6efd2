/** The score and the signals of one vehicle, one below the other: first those that an alert is about. */
import { useSignal } from "@preact/signals";
import type { Alert, Moment } from "../live/forms";
import { models } from "../live/models";
import { oddsWords } from "../format";
import { signalName } from "../words";
import { Chart, type Band, type Series } from "./chart";

/** Shown at first; the rest on demand. */
const FIRST = 6;
/** Without a reading for so many usual intervals the line breaks. */
const GAP_INTERVALS = 4;
const LEAST_SPAN = 180;

/** Which signal a rule looks at. */
const SIGNAL_OF: Record<string, string> = {
  overheating: "coolant_temperature_celsius",
  thermostat_stuck_open: "coolant_temperature_celsius",
  oil_pressure: "oil_pressure_kpa",
  battery_drain: "battery_voltage_v",
  alternator: "battery_voltage_v",
  over_speed: "speed_km_per_h",
  fuel_loss_parked: "fuel_level_percent",
  fuel_loss_driving: "fuel_level_percent",
  harsh_braking: "acceleration_longitudinal_m_per_s2",
  harsh_acceleration: "acceleration_longitudinal_m_per_s2",
  harsh_cornering: "acceleration_lateral_m_per_s2",
};

/** What people look at first. */
const ORDER = [
  "speed_km_per_h",
  "coolant_temperature_celsius",
  "engine_speed_rpm",
  "battery_voltage_v",
  "oil_pressure_kpa",
  "traction_battery_charge_percent",
  "fuel_level_percent",
  "engine_load_percent",
];

interface Properties {
  moments: Moment[];
  alerts: Alert[];
  /** Seconds. */
  span: number;
  now: number;
  isLoading: boolean;
}

export function Charts({ moments, alerts, span, now, isLoading }: Properties) {
  const isUnfolded = useSignal(false);
  if (moments.length === 0) {
    return <div class="charts-empty">{isLoading ? <span class="skeleton" /> : <p class="note">No reading in this time.</p>}</div>;
  }
  const times = moments.map((moment) => Date.parse(moment.recorded_at!) / 1_000);
  const column = (value: (moment: Moment) => number | null | undefined) => broken(times, moments.map((moment) => value(moment) ?? null));
  const codes = inOrder(new Set(moments.flatMap((moment) => Object.keys(moment.signals))), alerts);
  const shown = isUnfolded.value ? codes : codes.slice(0, FIRST);
  const bands = alerts.map((alert): Band => ({
    from: Date.parse(alert.opened_at) / 1_000,
    to: alert.closed_at ? Date.parse(alert.closed_at) / 1_000 : now,
    severity: alert.severity,
  }));
  const series: Series[] = [];
  for (const name of new Set(moments.flatMap((moment) => moment.scores.map((score) => score.model)))) {
    const model = models.value.find((each) => each.name === name);
    const isRaw = model?.alert.measure === "raw";
    const [scoreTimes, values] = column((moment) => {
      const score = moment.scores.find((each) => each.model === name);
      return isRaw ? score?.raw : score && rarity(score.tail_probability);
    });
    const limit = model ? (isRaw ? model.alert.open : rarity(model.alert.open)) : null;
    const own = isRaw ? { unit: "raw score" } : { unit: "", from: 0, write: (value: number) => oddsWords(10 ** -value), writeShort: oddsShort };
    series.push({ code: `score ${name}`, name: `Score of ${name}`, times: scoreTimes, values, limit, ...own });
  }
  for (const code of shown) {
    const [signalTimes, values] = column((moment) => moment.signals[code]);
    series.push({ code, ...signalName(code), times: signalTimes, values, limit: limitOf(code, alerts) });
  }
  // A vehicle that is new here fills its charts all the same.
  const window: [number, number] = [Math.max(now - span, Math.min(times[0]!, now - LEAST_SPAN)), now];
  return (
    <div class="charts">
      {series.map((each, index) => (
        <Chart key={each.code} series={each} bands={bands} span={window} hasTimes={index === series.length - 1} />
      ))}
      {codes.length > FIRST && (
        <button class="button button-wide" aria-expanded={isUnfolded.value} onClick={() => (isUnfolded.value = !isUnfolded.value)}>
          {isUnfolded.value ? "Fewer signals" : `${codes.length - FIRST} more signals`}
        </button>
      )}
    </div>
  );
}

/** Calibrated scores crowd at 1; what tells them apart is how seldom they are. */
function rarity(tailProbability: number): number {
  return -Math.log10(Math.max(tailProbability, 1e-9));
}

/** "1 : 10k" */
function oddsShort(value: number): string {
  if (!Number.isInteger(value)) return "";
  return `1:${10 ** (value % 3)}${["", "k", "M", "G"][Math.floor(value / 3)] ?? ""}`;
}

/** A gap in time is a gap in the line. */
function broken(times: number[], values: (number | null)[]): [number[], (number | null)[]] {
  const steps = times.slice(1).map((time, index) => time - times[index]!);
  const usual = [...steps].sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
  const newTimes: number[] = [];
  const newValues: (number | null)[] = [];
  for (const [index, time] of times.entries()) {
    if (index > 0 && time - times[index - 1]! > usual * GAP_INTERVALS) {
      newTimes.push(times[index - 1]! + usual);
      newValues.push(null);
    }
    newTimes.push(time);
    newValues.push(values[index]!);
  }
  return [newTimes, newValues];
}

function inOrder(codes: Set<string>, alerts: Alert[]): string[] {
  const about = new Set(alerts.flatMap(signalsOf));
  const place = (code: string) => (about.has(code) ? -100 : 0) + (ORDER.includes(code) ? ORDER.indexOf(code) : 50);
  return [...codes].filter((code) => code !== "odometer_m" || about.has(code)).sort((a, b) => place(a) - place(b));
}

/** Named by its rule, its words or its explanation. */
function signalsOf(alert: Alert): string[] {
  const [kind, name = ""] = alert.alert_key.split(":");
  const own = kind === "rule" && SIGNAL_OF[name];
  const named = alert.summary.match(/\b[a-z]+(?:_[a-z0-9]+)+\b/g) ?? [];
  return [...(own ? [own] : []), ...named, ...alert.explanation.slice(0, 3).map(({ feature }) => feature.split(".")[0]!)];
}

function limitOf(code: string, alerts: Alert[]): number | null {
  const isAbout = ({ alert_key }: Alert) => {
    const [kind, name = ""] = alert_key.split(":");
    return kind === "rule" && SIGNAL_OF[name] === code;
  };
  return alerts.find(isAbout)?.limit ?? null;
}
