/** What is shown, in the address: a link shows a colleague the same. */
import { signal } from "@preact/signals";

export type View = "map" | "models" | "quarantine";

export interface Route {
  view: View;
  vehicleId: string | null;
  alertId: string | null;
}

export const route = signal<Route>(read());

window.addEventListener("hashchange", () => (route.value = read()));

export function show(change: Partial<Route>): void {
  const next = { ...route.peek(), ...change };
  const path = next.view === "map" ? "" : next.view;
  const query = new URLSearchParams();
  if (next.view === "map" && next.vehicleId) query.set("vehicle", next.vehicleId);
  if (next.view === "map" && next.alertId) query.set("alert", next.alertId);
  const hash = `#/${path}${query.size > 0 ? `?${query}` : ""}`;
  if (hash === location.hash) return;
  history.pushState(null, "", hash);
  route.value = next;
}

window.addEventListener("popstate", () => (route.value = read()));

function read(): Route {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const parameters = new URLSearchParams(query);
  const view: View = path === "models" || path === "quarantine" ? path : "map";
  return { view, vehicleId: parameters.get("vehicle"), alertId: parameters.get("alert") };
}
