/** The list of alerts: what needs somebody first. */
import { useEffect, useRef } from "preact/hooks";
import { act, pending } from "../commands";
import { alerts, filters, isOver, lines, SEVERITIES, type Line } from "../live/alerts";
import { connection } from "../live/channel";
import { fleet } from "../live/fleet";
import type { Alert } from "../live/forms";
import { number } from "../format";
import { show } from "../route";
import { current, isCurrent, keyOf, select } from "../selection";
import { toggled } from "../settings";
import { alertTitle, handlingWords, severityWords, summary } from "../words";
import { SeverityMark } from "./marks";
import { Ago } from "./time";

/** More lines than these are a matter for filters. */
const MOST_LINES = 300;

export function AlertsPanel() {
  const all = lines.value;
  return (
    <section class="panel alerts" aria-label="Alerts">
      <div class="panel-head">
        <h2>
          Alerts <span class="badge">{alerts.isKnown.value ? number(alerts.openCount.value, 0) : "–"}</span>
        </h2>
        <div class="segments" role="group" aria-label="Which alerts">
          {(["all", "unhandled"] as const).map((which) => (
            <button key={which} aria-pressed={filters.show.value === which} onClick={() => (filters.show.value = which)}>
              {which === "all" ? "All" : "New only"}
            </button>
          ))}
        </div>
      </div>
      <div class="filters">
        <input
          id="alert-search"
          type="search"
          placeholder="Vehicle, kind or words"
          aria-label="Filter alerts (/)"
          value={filters.text.value}
          onInput={(event) => (filters.text.value = event.currentTarget.value)}
        />
        {SEVERITIES.map((severity) => (
          <button
            key={severity}
            class="chip"
            aria-pressed={filters.severities.value.has(severity)}
            aria-label={severityWords[severity]}
            title={severityWords[severity]}
            onClick={() => (filters.severities.value = toggled(filters.severities.value, severity))}
          >
            <SeverityMark severity={severity} />
          </button>
        ))}
      </div>
      {all.length === 0 ? (
        <Nothing />
      ) : (
        <ol class="alert-list" aria-label="Alerts, most severe first">
          {all.slice(0, MOST_LINES).map((line) => (
            <LineOf key={keyOf(line)} line={line} />
          ))}
          {all.length > MOST_LINES && <li class="note">{number(all.length - MOST_LINES, 0)} more; filter to see them.</li>}
          {alerts.openCount.value > alerts.open.size && (
            <li class="note">{number(alerts.openCount.value - alerts.open.size, 0)} more are open; the API lists them all.</li>
          )}
        </ol>
      )}
    </section>
  );
}

function Nothing() {
  if (!alerts.isKnown.value) {
    const isLost = connection.value.state === "lost";
    return <div class="empty">{isLost ? "Odograph does not answer. Alerts come back with it." : <Skeletons />}</div>;
  }
  const isFiltered = alerts.open.size > 0;
  return (
    <div class="empty">
      <svg viewBox="0 0 48 48" aria-hidden="true">
        <path d="M8 32a16 16 0 1 1 32 0" />
        <path d="m24 30 7-10" />
      </svg>
      <strong>{isFiltered ? "Nothing matches" : "Nothing needs you"}</strong>
      <span>{isFiltered ? "Other alerts are open; clear the filters to see them." : fleet.list.length > 0 ? "All vehicles are as they should be." : "No vehicle has reported yet."}</span>
      {isFiltered && (
        <button
          class="button"
          onClick={() => {
            filters.text.value = "";
            filters.show.value = "all";
            filters.severities.value = new Set(SEVERITIES);
          }}
        >
          Clear filters
        </button>
      )}
    </div>
  );
}

function Skeletons() {
  return (
    <div class="skeletons" aria-label="Loading">
      {[0, 1, 2, 3].map((each) => (
        <span key={each} class="skeleton" />
      ))}
    </div>
  );
}

function LineOf({ line }: { line: Line }) {
  switch (line.kind) {
    case "alert":
      return <AlertLine alert={line.alert} isInGroup={line.isInGroup} />;
    case "group":
      return <Group line={line} />;
    case "closed":
      return <li class="divider">Recently closed</li>;
  }
}

function Group({ line }: { line: Extract<Line, { kind: "group" }> }) {
  const first = line.alerts[0]!;
  const fresh = line.alerts.filter((alert) => alert.handling === "new");
  const isHere = isCurrent(line);
  return (
    <li class={`alert group ${isHere ? "is-current" : ""}`}>
      <button
        class="alert-main"
        aria-expanded={line.isUnfolded}
        onClick={() => {
          select(line);
          filters.unfolded.value = toggled(filters.unfolded.value, line.key);
        }}
      >
        <SeverityMark severity={first.severity} />
        <span class="alert-title">{alertTitle(first)}</span>
        <span class="alert-when">
          <Ago at={first.opened_at} />
        </span>
        <span class="alert-summary">
          {line.alerts.length} vehicles with one kind of alert{fresh.length > 0 ? `, ${fresh.length} new` : ""}. A common cause is likely.
        </span>
        <svg class="fold" viewBox="0 0 16 16" aria-hidden="true">
          <path d={line.isUnfolded ? "M4 10l4-4 4 4" : "M4 6l4 4 4-4"} />
        </svg>
      </button>
      {isHere && fresh.length > 0 && (
        <div class="alert-actions">
          <button class="button" onClick={() => void act("acknowledge", fresh)}>
            Acknowledge all {fresh.length} <kbd>a</kbd>
          </button>
        </div>
      )}
    </li>
  );
}

function AlertLine({ alert, isInGroup }: { alert: Alert; isInGroup: boolean }) {
  const element = useRef<HTMLLIElement>(null);
  const isHere = current.value === `alert:${alert.alert_id}`;
  const over = isOver(alert);
  useEffect(() => {
    if (isHere) element.current?.scrollIntoView({ block: "nearest" });
  }, [isHere]);
  const classes = ["alert", isHere && "is-current", over && "is-over", isInGroup && "in-group", alerts.fresh.has(alert.alert_id) && "is-fresh"];
  return (
    <li ref={element} class={classes.filter(Boolean).join(" ")} data-alert={alert.alert_id}>
      <button
        class="alert-main"
        aria-current={isHere ? "true" : undefined}
        onClick={() => {
          select({ kind: "alert", alert, isInGroup });
          show({ view: "map", vehicleId: alert.vehicle_id, alertId: alert.alert_id });
        }}
      >
        <SeverityMark severity={alert.severity} isOver={over} />
        <span class="alert-title">
          {alertTitle(alert)} <span class="sr-only">{severityWords[alert.severity]}</span>
        </span>
        <span class="alert-when">
          <Ago at={alert.condition === "cleared" && alert.closed_at ? alert.closed_at : alert.opened_at} />
        </span>
        <span class="alert-summary">{summary(alert.summary)}</span>
        <span class="alert-foot">
          <span class="vehicle-id">{alert.vehicle_id}</span>
          <Handled alert={alert} />
        </span>
      </button>
    </li>
  );
}

export function Handled({ alert }: { alert: Alert }) {
  if (pending.value.has(alert.alert_id)) return <span class="handling">Saving…</span>;
  if (alert.condition === "cleared") return <span class="handling">Closed</span>;
  const who = alert.handling === "assigned" ? alert.assigned_to : alert.handling === "acknowledged" ? alert.acknowledged_by : null;
  return (
    <span class={`handling handling-${alert.handling}`}>
      {alert.condition === "unknown" ? "Vehicle silent · " : ""}
      {handlingWords[alert.handling]}
      {who ? ` · ${who}` : ""}
    </span>
  );
}
