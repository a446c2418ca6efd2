/** What keys do. The help lists the same table. */
import { act, form } from "./commands";
import { alerts, filters, isOver } from "./live/alerts";
import type { Alert } from "./live/forms";
import { goTo, showAll, zoomBy } from "./map/map";
import { route, show } from "./route";
import { current, currentLine, move } from "./selection";
import { toggled } from "./settings";
import { toggleTheme } from "./theme";
import { isHelpOpen, openHelp } from "./views/help";

export interface Key {
  keys: string[];
  shown: string;
  does: string;
  run: () => void;
}

export const KEYS: { title: string; keys: Key[] }[] = [
  {
    title: "Alerts",
    keys: [
      { keys: ["j", "ArrowDown"], shown: "j", does: "next alert", run: () => step(1) },
      { keys: ["k", "ArrowUp"], shown: "k", does: "previous alert", run: () => step(-1) },
      { keys: ["Enter", "o"], shown: "Enter", does: "open it, or unfold a group", run: openCurrent },
      { keys: ["a"], shown: "a", does: "acknowledge", run: () => void act("acknowledge", acknowledgeable()) },
      { keys: ["i"], shown: "i", does: "assign to somebody", run: () => ask("assign") },
      { keys: ["s"], shown: "s", does: "silence for a while", run: () => ask("silence") },
      { keys: ["r"], shown: "r", does: "resolve with a verdict", run: () => ask("resolve") },
      { keys: ["/"], shown: "/", does: "filter the list", run: () => document.getElementById("alert-search")?.focus() },
    ],
  },
  {
    title: "Map",
    keys: [
      { keys: ["f"], shown: "f", does: "go to the vehicle", run: () => route.peek().vehicleId && goTo(route.peek().vehicleId!) },
      { keys: ["w"], shown: "w", does: "whole fleet", run: () => showAll() },
      { keys: ["+", "="], shown: "+", does: "closer", run: () => zoomBy(1) },
      { keys: ["-"], shown: "−", does: "farther", run: () => zoomBy(-1) },
    ],
  },
  {
    title: "Page",
    keys: [
      { keys: ["1"], shown: "1", does: "map", run: () => show({ view: "map" }) },
      { keys: ["2"], shown: "2", does: "models", run: () => show({ view: "models", vehicleId: null, alertId: null }) },
      { keys: ["3"], shown: "3", does: "quarantine", run: () => show({ view: "quarantine", vehicleId: null, alertId: null }) },
      { keys: ["l"], shown: "l", does: "light or dark", run: toggleTheme },
      { keys: ["Escape"], shown: "Esc", does: "close what is open", run: () => show({ vehicleId: null, alertId: null }) },
      { keys: ["?"], shown: "?", does: "this help", run: openHelp },
    ],
  },
];

export function listen(): void {
  window.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isHelpOpen.peek() || form.peek()) return;
    const target = event.target as HTMLElement;
    const isField = target.matches("input, textarea, select");
    if (isField) {
      if (event.key === "Escape") target.blur();
      return;
    }
    // A button that has the focus is pressed by Enter; arrows move the map where it has it.
    if (event.key === "Enter" && target.matches("button, a, summary")) return;
    if (event.key.startsWith("Arrow") && target.closest(".map, .scrolls")) return;
    const key = KEYS.flatMap((group) => group.keys).find((each) => each.keys.includes(event.key));
    if (!key) return;
    event.preventDefault();
    key.run();
  });
}

/** Of the open vehicle's alert, else of the line. */
export function targets(): Alert[] {
  const chosen = route.peek().alertId;
  const line = currentLine();
  if (line?.kind === "group") return line.alerts;
  if (line?.kind === "alert") return [line.alert];
  const alert = chosen ? alerts.find(chosen) : undefined;
  return alert ? [alert] : [];
}

function acknowledgeable(): Alert[] {
  return targets().filter((alert) => !isOver(alert) && alert.handling === "new");
}

function ask(action: "assign" | "silence" | "resolve"): void {
  const open = targets().filter((alert) => !isOver(alert));
  if (open.length > 0) form.value = { action, alerts: open };
}

function step(by: 1 | -1): void {
  const line = move(by);
  if (line?.kind === "alert" && route.peek().vehicleId) openCurrent();
}

function openCurrent(): void {
  const line = currentLine();
  if (line?.kind === "group") {
    filters.unfolded.value = toggled(filters.unfolded.value, line.key);
  } else if (line?.kind === "alert") {
    show({ view: "map", vehicleId: line.alert.vehicle_id, alertId: line.alert.alert_id });
  }
  current.value = current.peek();
}
