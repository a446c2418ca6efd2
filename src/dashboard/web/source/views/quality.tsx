/** What is not to be believed about a vehicle's data, or says nothing. */
import type { Moment, Reading, Vehicle } from "../live/forms";
import { number, span } from "../format";
import { notScoredWords, rejectionWords, sentence, signalName } from "../words";

export function Quality({ vehicle, moments }: { vehicle: Vehicle; moments: Moment[] }) {
  const verdicts = judge(vehicle, moments);
  return (
    <>
      <h3>Data quality</h3>
      {verdicts.length === 0 ? (
        <p class="note">
          Nothing to say against it: {number(moments.length, 0)} {moments.length === 1 ? "reading" : "readings"} in this time, none late, none rejected.
        </p>
      ) : (
        <ul class="verdicts">
          {verdicts.map(({ what, detail }) => (
            <li key={what}>
              <strong>{what}</strong> <span class="quiet">{detail}</span>
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function judge(vehicle: Vehicle, moments: Moment[]): { what: string; detail: string }[] {
  const verdicts: { what: string; detail: string }[] = [];
  if (vehicle.not_scored) verdicts.push({ what: "Not scored", detail: notScoredWords[vehicle.not_scored] ?? sentence(vehicle.not_scored) });
  const { stuck = [], position, clock, sequence } = vehicle.quality ?? {};
  for (const code of stuck) verdicts.push({ what: `${signalName(code).name} is stuck`, detail: "it repeats itself while the vehicle does not" });
  if (position === "jump") verdicts.push({ what: "Position jumped", detail: "farther from the last one than anything drives" });
  if (position === "frozen") verdicts.push({ what: "Position is frozen", detail: "the same to the last digit while it drives" });
  if (clock) verdicts.push({ what: "Clock stands", detail: "it says the same time again and again" });
  if (sequence) verdicts.push({ what: "Number used twice", detail: "another reading had the same number since it started" });
  const unbelieved = moments.filter((moment) => moment.quality).length;
  if (unbelieved > 0 && !vehicle.quality) verdicts.push({ what: "Not believed", detail: `something in ${unbelieved} of ${moments.length} readings` });
  const lost = vehicle.lost_before_us ?? 0;
  if (lost > 0) verdicts.push({ what: "Lost before us", detail: `${number(lost, 0)} readings that it numbered never came` });
  for (const { name, value, reason } of vehicle.rejected ?? []) {
    const shown = value === null ? "" : `${number(value)} ${signalName(name).unit} `;
    verdicts.push({ what: `${signalName(name).name} rejected`, detail: `${shown}${rejectionWords[reason] ?? sentence(reason)}` });
  }
  const rejected = moments.filter((moment) => (moment.rejected?.length ?? 0) > 0).length;
  if (rejected > 0 && !vehicle.rejected?.length) verdicts.push({ what: "Rejected signals", detail: `in ${rejected} of ${moments.length} readings` });
  const timing = (kind: Reading["timing"]) => moments.filter((moment) => (moment as Partial<Reading>).timing === kind).length;
  if (timing("late") > 0) verdicts.push({ what: "Late readings", detail: `${timing("late")} came after newer ones` });
  if (timing("delayed") > 0) verdicts.push({ what: "Delayed readings", detail: `${timing("delayed")} were more than 5 min on the way` });
  if (timing("future") > 0) verdicts.push({ what: "Clock ahead", detail: `${timing("future")} readings from our future, not scored` });
  if (vehicle.recorded_at && vehicle.received_at) {
    const delay = (Date.parse(vehicle.received_at) - Date.parse(vehicle.recorded_at)) / 1_000;
    if (Math.abs(delay) > 30) verdicts.push({ what: delay > 0 ? "On the way for long" : "Clock ahead of ours", detail: span(Math.abs(delay)) });
  }
  const extras = Object.keys(vehicle.extras ?? {}).length;
  if (extras > 0) verdicts.push({ what: "Undeclared signals", detail: `${extras}, kept as they are` });
  if (vehicle.dtcs?.length) verdicts.push({ what: "Trouble codes", detail: vehicle.dtcs.join(", ") });
  for (const finding of vehicle.findings ?? []) {
    if (!finding.raised && finding.value !== null) verdicts.push({ what: `Near a limit: ${sentence(finding.key.split(":")[1] ?? finding.key)}`, detail: `${number(finding.value)} at a limit of ${finding.limit === null ? "?" : number(finding.limit)}` });
  }
  return verdicts;
}
