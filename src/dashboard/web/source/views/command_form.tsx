/** Assign, silence, resolve: one small form each. */
import { useState } from "preact/hooks";
import { act, form } from "../commands";
import { operator, setOperator } from "../settings";
import { alertTitle } from "../words";
import { Dialog } from "./dialog";

const TITLES = { assign: "Assign", silence: "Silence", resolve: "Resolve" };
const DURATIONS: [value: string, words: string][] = [
  ["30m", "30 minutes"],
  ["2h", "2 hours"],
  ["8h", "8 hours"],
  ["24h", "1 day"],
  ["7d", "1 week"],
];

export function CommandForm() {
  const asked = form.value;
  return asked && <Form key={asked.alerts[0]!.alert_id + asked.action} asked={asked} />;
}

function Form({ asked }: { asked: NonNullable<typeof form.value> }) {
  const { action, alerts } = asked;
  const [to, setTo] = useState("");
  const [duration, setDuration] = useState("2h");
  const [verdict, setVerdict] = useState("confirmed");
  const [note, setNote] = useState("");
  const close = () => (form.value = null);
  const first = alerts[0]!;
  const about = alerts.length === 1 ? `${alertTitle(first)} · ${first.vehicle_id}` : `${alerts.length} alerts: ${alertTitle(first)}`;
  const submit = (event: Event) => {
    event.preventDefault();
    const own = action === "assign" ? { to: to.trim() } : action === "silence" ? { duration } : verdict ? { verdict } : {};
    void act(action, alerts, { ...own, ...(note.trim() ? { note: note.trim() } : {}) } as Record<string, string>);
    close();
  };
  return (
    <Dialog title={TITLES[action]} close={close}>
      <p class="quiet">{about}</p>
      <form class="form" onSubmit={submit}>
        {action === "assign" && (
          <label>
            To whom
            <input autofocus required maxLength={128} value={to} placeholder="a person or a team" onInput={(event) => setTo(event.currentTarget.value)} />
          </label>
        )}
        {action === "silence" && (
          <fieldset>
            <legend>Nobody is notified for</legend>
            <div class="choices">
              {DURATIONS.map(([value, words]) => (
                <label key={value} class="choice">
                  <input type="radio" name="duration" value={value} checked={duration === value} onChange={() => setDuration(value)} />
                  {words}
                </label>
              ))}
            </div>
          </fieldset>
        )}
        {action === "resolve" && (
          <fieldset>
            <legend>What was it?</legend>
            <div class="choices">
              <label class="choice">
                <input type="radio" name="verdict" checked={verdict === "confirmed"} onChange={() => setVerdict("confirmed")} />
                Confirmed: it was as the alert said
              </label>
              <label class="choice">
                <input type="radio" name="verdict" checked={verdict === "false_alarm"} onChange={() => setVerdict("false_alarm")} />
                False alarm: be quiet about it until this vehicle is calm
              </label>
              <label class="choice">
                <input type="radio" name="verdict" checked={verdict === ""} onChange={() => setVerdict("")} />
                I do not know
              </label>
            </div>
          </fieldset>
        )}
        <label>
          <span>
            Note <span class="quiet">(optional)</span>
          </span>
          <input maxLength={2_000} value={note} onInput={(event) => setNote(event.currentTarget.value)} />
        </label>
        <label>
          <span>
            Your name <span class="quiet">(kept in this browser)</span>
          </span>
          <input maxLength={128} value={operator.value} placeholder="operator" onInput={(event) => setOperator(event.currentTarget.value)} />
        </label>
        <div class="dialog-buttons">
          <button type="button" class="button" onClick={close}>
            Cancel
          </button>
          <button class="button button-main">{TITLES[action]}</button>
        </div>
      </form>
    </Dialog>
  );
}
