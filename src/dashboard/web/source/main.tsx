/** The page of Odograph: a map of all vehicles, the alerts that need somebody, and one vehicle in full. */
import "@fontsource-variable/inter/wght.css";
import "maplibre-gl/dist/maplibre-gl.css";
// Behind what it overrules, and before whatever reads its colours.
import "./style.css";
import { render } from "preact";
import { toasts } from "./commands";
import { listen } from "./keyboard";
import { connect, connection, isFleetKnown } from "./live/channel";
import { fleet } from "./live/fleet";
import { watchHealth } from "./live/health";
import { VehicleMap } from "./map/map";
import { route } from "./route";
import "./theme";
import { AlertsPanel } from "./views/alerts";
import { CommandForm } from "./views/command_form";
import { Header } from "./views/header";
import { Health } from "./views/health";
import { Help } from "./views/help";
import { Models, Quarantine } from "./views/tables";
import { VehiclePanel } from "./views/vehicle";

function Page() {
  const { view, vehicleId, alertId } = route.value;
  return (
    <>
      <Header />
      <Health />
      {/* It stays while others are looked at: a map that comes back is where it was. */}
      <main class={`console ${vehicleId ? "has-vehicle" : ""}`} hidden={view !== "map"}>
        <h1 class="sr-only">Fleet</h1>
        <AlertsPanel />
        <div class="stage">
          <VehicleMap />
          <Notice />
        </div>
        {vehicleId && <VehiclePanel key={vehicleId} id={vehicleId} alertId={alertId} />}
      </main>
      {view === "models" && <Models />}
      {view === "quarantine" && <Quarantine />}
      <CommandForm />
      <Help />
      <div class="toasts" role="status">
        {toasts.value.map((toast) => (
          <div key={toast.id} class={`toast ${toast.isError ? "toast-error" : ""}`}>
            {toast.text}
          </div>
        ))}
      </div>
    </>
  );
}

/** What the map says when it has nothing, or nothing new, to show. */
function Notice() {
  const { state } = connection.value;
  fleet.version.value;
  if (state === "lost") {
    return (
      <div class="notice notice-lost" role="alert">
        <strong>Odograph does not answer.</strong> {isFleetKnown.value ? "What you see is as it was; the page reconnects by itself." : "The page tries again by itself."}
      </div>
    );
  }
  if (!isFleetKnown.value || fleet.list.length > 0) return null;
  return (
    <div class="notice notice-empty">
      <strong>No vehicle has reported yet</strong>
      <span>
        Vehicles publish to <code>vehicles/&#123;id&#125;/telemetry</code> over MQTT on this machine. For a first look, start{" "}
        <code>odograph run --simulate 200</code>.
      </span>
    </div>
  );
}

listen();
connect();
watchHealth();
render(<Page />, document.getElementById("page")!);
