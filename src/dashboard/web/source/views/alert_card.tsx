/** One alert in full: why it was raised, what was done about it, and what can be done. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { act, form } from "../commands";
import { isOver } from "../live/alerts";
import * as api from "../live/api";
import type { Alert, AlertHistory, Explained } from "../live/forms";
import { number, score, span } from "../format";
import { alertSource, alertTitle, sentence, severityWords, signalName, summary } from "../words";
import { Handled } from "./alerts";
import { SeverityMark } from "./marks";
import { Ago, Clock } from "./time";

export function AlertCard({ alert, isChosen }: { alert: Alert; isChosen: boolean }) {
  const element = useRef<HTMLElement>(null);
  useEffect(() => {
    if (isChosen) element.current?.scrollIntoView({ block: "nearest" });
  }, [isChosen]);
  const over = isOver(alert);
  const lasted = (Date.parse(alert.closed_at ?? alert.last_seen_at) - Date.parse(alert.opened_at)) / 1_000;
  return (
    <article ref={element} class={`card card-${over ? "over" : alert.severity}`} aria-label={`${alertTitle(alert)}, ${severityWords[alert.severity]}`}>
      <header>
        <SeverityMark severity={alert.severity} isOver={over} />
        <h3>{alertTitle(alert)}</h3>
        <Handled alert={alert} />
      </header>
      <p class="card-summary">{summary(alert.summary)}</p>
      <p class="card-facts quiet">
        {severityWords[alert.severity]} by {alertSource(alert)} · opened <Ago at={alert.opened_at} /> · {alert.count} {alert.count === 1 ? "reading" : "readings"}
        {lasted >= 1 && ` in ${span(lasted)}`}
        {alert.score !== null && ` · score ${score(alert.score)}`}
        {alert.closed_at && (
          <>
            {" "}
            · closed <Clock at={alert.closed_at} />
          </>
        )}
      </p>
      {alert.explanation.length > 0 && <Explanation parts={alert.explanation} />}
      {alert.note && <p class="card-note">“{alert.note}”</p>}
      {isChosen && <History alert={alert} />}
      {!over && (
        <div class="card-actions">
          <button class="button button-main" disabled={alert.handling !== "new"} onClick={() => void act("acknowledge", [alert])}>
            Acknowledge <kbd>a</kbd>
          </button>
          <button class="button" onClick={() => (form.value = { action: "assign", alerts: [alert] })}>
            Assign <kbd>i</kbd>
          </button>
          <button class="button" onClick={() => (form.value = { action: "silence", alerts: [alert] })}>
            Silence <kbd>s</kbd>
          </button>
          <button class="button" onClick={() => (form.value = { action: "resolve", alerts: [alert] })}>
            Resolve <kbd>r</kbd>
          </button>
        </div>
      )}
    </article>
  );
}

/** What made the score: the largest part first, each against what is normal for this vehicle. */
function Explanation({ parts }: { parts: Explained[] }) {
  const largest = Math.max(...parts.map((part) => part.contribution), 0.001);
  return (
    <table class="explanation">
      <thead class="sr-only">
        <tr>
          <th>Feature</th>
          <th>Share</th>
          <th>Value</th>
          <th>Normal</th>
        </tr>
      </thead>
      <tbody>
        {parts.slice(0, 5).map((part) => {
          const { name, unit } = signalName(part.feature);
          const normal = part.normal ?? part.cohort_normal;
          return (
            <tr key={part.feature}>
              <th scope="row">{name}</th>
              <td class="explanation-share">
                <span class="bar" aria-hidden="true">
                  <span style={{ width: `${Math.round((part.contribution / largest) * 100)}%` }} />
                </span>
                {Math.round(part.contribution * 100)} %
              </td>
              <td>
                {part.value === null ? "missing" : number(part.value)} <span class="unit">{part.value === null ? "" : unit}</span>
              </td>
              <td class="quiet">{normal === null ? "" : `normal ${number(normal)}`}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

function History({ alert }: { alert: Alert }) {
  const history = useSignal<AlertHistory[]>([]);
  useEffect(() => {
    const abort = new AbortController();
    api.alert(alert.alert_id, abort.signal).then(
      (answer) => (history.value = answer.history),
      () => undefined,
    );
    return () => abort.abort();
  }, [alert.alert_id, alert.revision]);
  const told = history.value.filter((event) => event.change !== "updated");
  if (told.length < 2) return null;
  return (
    <ol class="history" aria-label="What happened">
      {told.map((event) => (
        <li key={event.revision}>
          <Clock at={event.at} /> <span>{sentence(event.change)}</span>
          {who(event) && <span class="quiet"> {who(event)}</span>}
        </li>
      ))}
    </ol>
  );
}

function who(event: AlertHistory): string {
  if (event.change === "acknowledged" && event.acknowledged_by) return `by ${event.acknowledged_by}`;
  if (event.change === "assigned" && event.assigned_to) return `to ${event.assigned_to}`;
  return "";
}
