import { fleet, STATES } from "../live/fleet";
import { connection, isFleetKnown } from "../live/channel";
import { number, span } from "../format";
import { route, show, type View } from "../route";
import { hiddenStates, toggled } from "../settings";
import { theme, toggleTheme } from "../theme";
import { stateMeanings, stateWords } from "../words";
import { openHelp } from "./help";
import { StateMark } from "./marks";

const VIEWS: [View, string][] = [
  ["map", "Map"],
  ["models", "Models"],
  ["quarantine", "Quarantine"],
];

export function Header() {
  return (
    <header class="header">
      <a class="brand" href="#/" aria-label="Odograph: all vehicles">
        <img src="/icon.svg" width="22" height="22" alt="" />
        Odograph
      </a>
      <nav aria-label="Views">
        {VIEWS.map(([view, name], index) => (
          <button
            key={view}
            class="tab"
            aria-current={route.value.view === view ? "page" : undefined}
            title={`${name} (${index + 1})`}
            onClick={() => show({ view, alertId: null, vehicleId: null })}
          >
            {name}
          </button>
        ))}
      </nav>
      <Legend />
      <span class="grow" />
      <Connected />
      <button class="icon-button" title="Light or dark (l)" aria-label={`Switch to ${theme.value === "dark" ? "light" : "dark"} colours`} onClick={toggleTheme}>
        <svg viewBox="0 0 16 16" aria-hidden="true">
          {theme.value === "dark" ? (
            <path d="M8 4.6a3.4 3.4 0 1 1 0 6.8 3.4 3.4 0 0 1 0-6.8ZM8 .8v1.7M8 13.5v1.7M.8 8h1.7M13.5 8h1.7M2.9 2.9l1.2 1.2M11.9 11.9l1.2 1.2M13.1 2.9l-1.2 1.2M4.1 11.9l-1.2 1.2" />
          ) : (
            <path d="M13.6 9.9A6 6 0 0 1 6.1 2.4a6 6 0 1 0 7.5 7.5Z" />
          )}
        </svg>
      </button>
      <button class="icon-button" title="Keys (?)" aria-label="Keys and help" onClick={openHelp}>
        <svg viewBox="0 0 16 16" aria-hidden="true">
          <path d="M5.6 6a2.4 2.4 0 1 1 3.5 2.1c-.8.4-1.1.8-1.1 1.6M8 12.4v.2" />
        </svg>
      </button>
    </header>
  );
}

/** How many are how; a click takes a state off the map. */
function Legend() {
  const counts = fleet.counts.value;
  const total = STATES.reduce((sum, state) => sum + counts[state], 0);
  if (route.value.view !== "map") return null;
  return (
    <div class="legend" role="group" aria-label="Vehicles by state">
      {STATES.map((state) => (
        <button
          key={state}
          class="legend-item"
          aria-pressed={!hiddenStates.value.has(state)}
          aria-label={`${counts[state]} ${stateWords[state]}`}
          title={`${stateWords[state]}: ${stateMeanings[state]}. Click to show or hide.`}
          onClick={() => (hiddenStates.value = toggled(hiddenStates.value, state))}
        >
          <StateMark state={state} />
          <span class="count">{isFleetKnown.value ? number(counts[state], 0) : "–"}</span>
          <span class="legend-word">{stateWords[state]}</span>
        </button>
      ))}
      <span class="legend-total quiet">{isFleetKnown.value ? `of ${number(total, 0)}` : ""}</span>
    </div>
  );
}

function Connected() {
  const now = connection.value;
  fleet.version.value;
  const words =
    now.state === "live" ? "Live" : now.state === "connecting" ? "Connecting" : `Reconnecting, ${span(Math.round((Date.now() - now.since) / 1_000))}`;
  return (
    <span class={`connection connection-${now.state}`} role="status" aria-label={now.state === "lost" ? "Connection lost, reconnecting" : words}>
      <span class="pulse" aria-hidden="true" />
      {words}
    </span>
  );
}
