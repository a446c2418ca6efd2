import { signal } from "@preact/signals";
import { ago, clock, full } from "../format";
import { fleet } from "../live/fleet";

const tick = signal(0);
setInterval(() => (tick.value += 1), 1_000);

/** How long ago, and exactly when under the pointer. */
export function Ago({ at }: { at: string | number }) {
  tick.value;
  const moment = typeof at === "number" ? at : Date.parse(at);
  return (
    <time dateTime={new Date(moment).toISOString()} title={full(moment)}>
      {ago(moment, fleet.now())}
    </time>
  );
}

export function Clock({ at }: { at: string | number }) {
  const moment = typeof at === "number" ? at : Date.parse(at);
  return (
    <time dateTime={new Date(moment).toISOString()} title={full(moment)}>
      {clock(moment, fleet.now())}
    </time>
  );
}
