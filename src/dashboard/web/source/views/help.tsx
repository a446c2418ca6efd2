import { signal } from "@preact/signals";
import { KEYS } from "../keyboard";
import { fleet, STATES } from "../live/fleet";
import { span } from "../format";
import { stateMeanings, stateWords } from "../words";
import { Dialog } from "./dialog";
import { StateMark } from "./marks";

export const isHelpOpen = signal(false);

export function openHelp(): void {
  isHelpOpen.value = true;
}

export function Help() {
  if (!isHelpOpen.value) return null;
  return (
    <Dialog title="Keys and signs" close={() => (isHelpOpen.value = false)}>
      <div class="help">
        {KEYS.map(({ title, keys }) => (
          <section key={title}>
            <h3>{title}</h3>
            <dl>
              {keys.map((key) => (
                <div key={key.shown}>
                  <dt>
                    <kbd>{key.shown}</kbd>
                  </dt>
                  <dd>{key.does}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <section class="help-signs">
          <h3>Signs</h3>
          <dl>
            {(["critical", "warning", "info"] as const).map((severity) => (
              <div key={severity}>
                <dt>
                  <StateMark state="alert" severity={severity} />
                </dt>
                <dd>{severity} alert</dd>
              </div>
            ))}
            {STATES.filter((state) => state !== "alert").map((state) => (
              <div key={state}>
                <dt>
                  <StateMark state={state} />
                </dt>
                <dd>
                  {stateWords[state].toLowerCase()}: {state === "stale" ? `silent for ${span(fleet.staleAfter / 1_000)}` : state === "offline" ? `silent for ${span(fleet.offlineAfter / 1_000)}` : stateMeanings[state]}
                </dd>
              </div>
            ))}
          </dl>
        </section>
      </div>
      <div class="dialog-buttons">
        <button class="button" onClick={() => (isHelpOpen.value = false)}>
          Close
        </button>
      </div>
    </Dialog>
  );
}
