/** The live channel: connects, comes back by itself, and goes on where it left off. */
import { signal } from "@preact/signals";
import { alerts } from "./alerts";
import { fleet } from "./fleet";
import type { LiveMessage, Vehicle } from "./forms";

/** The server says something every 5 s, whatever happens. */
const SILENCE_MS = 13_000;
const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 8_000;
/** After a restart the server learns of silent vehicles again, in this time. */
const FORGET_AFTER_MS = 30_000;

export type Connection = { state: "connecting" } | { state: "live" } | { state: "lost"; since: number; attempts: number };

export const connection = signal<Connection>({ state: "connecting" });
/** The whole newest reading of the vehicle that is watched. */
export const watched = signal<Vehicle | null>(null);
export const isFleetKnown = signal(false);

let socket: WebSocket | null = null;
let number = 0;
let wait = FIRST_WAIT_MS;
let watchedId: string | null = null;
let lastHeard = 0;

export function connect(): void {
  setInterval(() => {
    fleet.judgeAll();
    const isSilent = socket?.readyState === WebSocket.OPEN && performance.now() - lastHeard > SILENCE_MS;
    if (isSilent) socket?.close();
  }, 1_000);
  window.addEventListener("online", () => {
    wait = FIRST_WAIT_MS;
  });
  open();
}

export function watch(vehicleId: string | null): void {
  if (vehicleId === watchedId) return;
  watchedId = vehicleId;
  watched.value = null;
  say();
}

function open(): void {
  const address = new URL("/api/v1/live", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  if (alerts.sequence !== null) address.searchParams.set("after", String(alerts.sequence));
  const mine = new WebSocket(address);
  socket = mine;
  number += 1;
  const connectionNumber = number;
  let isWelcome = false;
  lastHeard = performance.now();
  mine.onopen = say;
  mine.onmessage = (event: MessageEvent<string>) => {
    lastHeard = performance.now();
    if (!isWelcome) {
      isWelcome = true;
      wait = FIRST_WAIT_MS;
      connection.value = { state: "live" };
      setTimeout(() => {
        if (socket === mine) fleet.forget(connectionNumber);
      }, FORGET_AFTER_MS);
    }
    take(JSON.parse(event.data) as LiveMessage, connectionNumber);
  };
  mine.onclose = () => {
    if (socket !== mine) return;
    socket = null;
    const before = connection.peek();
    const since = before.state === "lost" ? before.since : Date.now();
    const attempts = before.state === "lost" ? before.attempts + 1 : 1;
    connection.value = { state: "lost", since, attempts };
    setTimeout(open, wait * (0.5 + Math.random()));
    wait = Math.min(wait * 1.7, LONGEST_WAIT_MS);
  };
}

function say(): void {
  if (socket?.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ type: "watch", vehicle_id: watchedId }));
  }
}

function take(message: LiveMessage, connectionNumber: number): void {
  if ("now" in message) fleet.clockOffset = message.now - Date.now();
  switch (message.type) {
    case "snapshot":
      fleet.staleAfter = message.stale_after_ms;
      fleet.offlineAfter = message.offline_after_ms;
      fleet.apply(message.vehicles, connectionNumber, performance.now());
      if (message.complete) {
        fleet.judgeAll();
        isFleetKnown.value = true;
      }
      break;
    case "changes":
      fleet.apply(message.vehicles, connectionNumber, performance.now());
      fleet.version.value += 1;
      break;
    case "alerts":
      alerts.replace(message.alerts, message.sequence, message.complete, message.open);
      break;
    case "alert":
      alerts.take(message.alert, message.change, message.sequence);
      break;
    case "vehicle":
      if (message.vehicle.vehicle_id === watchedId) watched.value = message.vehicle;
      break;
    case "beat":
    case "problem":
      break;
  }
}
