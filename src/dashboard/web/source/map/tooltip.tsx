import { fleet } from "../live/fleet";
import { ago, number } from "../format";
import { hovered } from "./map";
import { StateMark } from "../views/marks";
import { stateWords } from "../words";

/** What is under the pointer. */
export function Tooltip() {
  const at = hovered.value;
  if (!at) return null;
  fleet.version.value;
  const { vehicle, left, top } = at;
  return (
    <div class="tooltip" style={{ transform: `translate(${Math.round(left + 14)}px, ${Math.round(top + 14)}px)` }}>
      <strong>{vehicle.vehicle_id}</strong>
      <span>
        <StateMark state={vehicle.state} severity={vehicle.severity} /> {stateWords[vehicle.state]}
      </span>
      <span class="quiet">
        {vehicle.speed_km_per_h !== null && `${number(vehicle.speed_km_per_h, 0)} km/h · `}
        {ago(vehicle.received_at, fleet.now())}
      </span>
    </div>
  );
}
