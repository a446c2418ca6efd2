/** One vehicle: how it is, why that is an alert, and how its signals went. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { alerts } from "../live/alerts";
import * as api from "../live/api";
import { connection, watch, watched } from "../live/channel";
import { fleet } from "../live/fleet";
import type { Vehicle } from "../live/forms";
import { add, load, loading, moments, range, RANGES, trim } from "../live/history";
import { inUnit, sentence, signalName, stateWords } from "../words";
import { number, oddsWords, score } from "../format";
import { goTo } from "../map/map";
import { show } from "../route";
import { AlertCard } from "./alert_card";
import { Charts } from "./charts";
import { StateMark } from "./marks";
import { Quality } from "./quality";
import { Ago, Clock } from "./time";

export function VehiclePanel({ id, alertId }: { id: string; alertId: string | null }) {
  const asked = useSignal<Vehicle | null>(null);
  const problem = useSignal<string | null>(null);
  const isLive = connection.value.state === "live";
  useEffect(() => {
    watch(id);
    return () => watch(null);
  }, [id]);
  useEffect(() => {
    if (!isLive) return;
    const abort = new AbortController();
    problem.value = null;
    api.vehicle(id, abort.signal).then(
      (vehicle) => (asked.value = vehicle),
      (error: Error) => {
        if (!abort.signal.aborted) problem.value = error.message;
      },
    );
    // Again after a reconnection: what came meanwhile is in the archive.
    const stop = load(id, range.value, fleet.now());
    return () => {
      abort.abort();
      stop();
    };
  }, [id, range.value, isLive]);
  useEffect(() => {
    if (watched.value) {
      add(watched.value);
      trim(fleet.now() - range.value * 60_000);
    }
  }, [watched.value]);
  fleet.version.value;
  const vehicle = watched.value ?? asked.value;
  const shown = fleet.find(id);
  const state = shown?.state ?? vehicle?.state ?? "offline";
  return (
    <section class="panel vehicle" aria-label={`Vehicle ${id}`}>
      <div class="panel-head">
        <h2 class="vehicle-title">
          <StateMark state={state} severity={shown?.severity ?? null} />
          {id}
        </h2>
        <span class="vehicle-state">{stateWords[state]}</span>
        <span class="grow" />
        <button class="icon-button" title="Show on the map (f)" aria-label="Show on the map" onClick={() => goTo(id)}>
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <circle cx="8" cy="8" r="4.2" />
            <path d="M8 .8v3M8 12.2v3M.8 8h3M12.2 8h3" />
          </svg>
        </button>
        <button class="icon-button" title="Close (Esc)" aria-label="Close" onClick={() => show({ vehicleId: null, alertId: null })}>
          <svg viewBox="0 0 16 16" aria-hidden="true">
            <path d="m3.5 3.5 9 9M12.5 3.5l-9 9" />
          </svg>
        </button>
      </div>
      <div class="scrolls" role="region" tabIndex={0} aria-label={`Details of ${id}`}>
        {problem.value && !vehicle ? (
          <div class="empty">
            <strong>Nothing known of {id}</strong>
            <span>{problem.value}</span>
          </div>
        ) : vehicle ? (
          <Details vehicle={vehicle} alertId={alertId} />
        ) : (
          <div class="skeletons">
            <span class="skeleton" />
            <span class="skeleton" />
            <span class="skeleton" />
          </div>
        )}
      </div>
    </section>
  );
}

function Details({ vehicle, alertId }: { vehicle: Vehicle; alertId: string | null }) {
  alerts.version.value;
  const open = alerts.ofVehicle(vehicle.vehicle_id);
  const chosen = alertId ? alerts.find(alertId) : undefined;
  const cards = chosen && !open.includes(chosen) ? [chosen, ...open] : open;
  const speed = vehicle.signals["speed_km_per_h"];
  return (
    <>
      <dl class="facts">
        <div>
          <dt>Last heard</dt>
          <dd>{vehicle.received_at ? <Ago at={vehicle.received_at} /> : "never"}</dd>
        </div>
        <div>
          <dt>Recorded</dt>
          <dd>{vehicle.recorded_at ? <Clock at={vehicle.recorded_at} /> : "–"}</dd>
        </div>
        <div>
          <dt>Speed</dt>
          <dd>{speed === undefined ? "–" : <Quantity value={speed} unit="km/h" digits={0} />}</dd>
        </div>
        <div>
          <dt>Class</dt>
          <dd title={vehicle.record ? undefined : "Nobody registered this vehicle"}>
            {vehicle.record ? [vehicle.record.class, vehicle.record.powertrain].filter(Boolean).map((word) => sentence(word!)).join(", ") : "unknown"}
          </dd>
        </div>
      </dl>
      {cards.map((alert) => (
        <AlertCard key={alert.alert_id} alert={alert} isChosen={alert.alert_id === alertId} />
      ))}
      <ScoreFacts vehicle={vehicle} />
      <div class="section-head">
        <h3>Signals</h3>
        <div class="segments" role="group" aria-label="Span of the charts">
          {RANGES.map(([minutes, words]) => (
            <button key={minutes} aria-pressed={range.value === minutes} onClick={() => (range.value = minutes)}>
              {words}
            </button>
          ))}
        </div>
      </div>
      {loading.value.state === "failed" && <p class="note note-problem">The past cannot be shown: {loading.value.why}.</p>}
      <Charts moments={moments.value} alerts={cards} span={range.value * 60} now={fleet.now() / 1_000} isLoading={loading.value.state === "loading"} />
      <Quality vehicle={vehicle} moments={moments.value} />
      <h3>All values</h3>
      <table class="values">
        <tbody>
          {Object.entries(vehicle.signals).map(([code, value]) => {
            const { name, unit } = signalName(code);
            const [shownValue, shownUnit] = inUnit(value, unit);
            return (
              <tr key={code}>
                <th scope="row">{name}</th>
                <td>
                  <Quantity value={shownValue} unit={shownUnit} />
                </td>
              </tr>
            );
          })}
          {vehicle.position && (
            <tr>
              <th scope="row">Position</th>
              <td>
                {vehicle.position.latitude.toFixed(5)}, {vehicle.position.longitude.toFixed(5)}
              </td>
            </tr>
          )}
          {Object.entries(vehicle.extras ?? {}).map(([code, value]) => (
            <tr key={code}>
              <th scope="row">
                {code} <span class="quiet">undeclared</span>
              </th>
              <td>{number(value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

/** What the models say about the newest reading. */
function ScoreFacts({ vehicle }: { vehicle: Vehicle }) {
  if (vehicle.scores.length === 0) return null;
  return (
    <div class="scores">
      {vehicle.scores.map((each) => (
        <div class="score" key={each.model}>
          <span class="score-name">
            Score <span class="quiet">{each.model} {each.version}</span>
          </span>
          <meter class="score-bar" min={0} max={1} value={each.score} aria-label={`Score of ${each.model}`} />
          <span class="score-value">{score(each.score)}</span>
          <span class="score-odds quiet" title="Share of normal readings that look at least as unusual">
            {oddsWords(each.tail_probability)}
          </span>
        </div>
      ))}
    </div>
  );
}

function Quantity({ value, unit, digits }: { value: number; unit: string; digits?: number }) {
  return (
    <>
      {number(value, digits)} <span class="unit">{unit}</span>
    </>
  );
}
