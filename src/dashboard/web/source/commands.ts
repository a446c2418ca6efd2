/** What a person does to an alert: asked for, and shown once it is durable. */
import { signal } from "@preact/signals";
import { alerts } from "./live/alerts";
import { command, type Action } from "./live/api";
import type { Alert } from "./live/forms";
import { operator } from "./settings";

export interface Toast {
  id: number;
  text: string;
  isError: boolean;
}

export const toasts = signal<Toast[]>([]);
/** Alerts with a command on its way. */
export const pending = signal<ReadonlySet<string>>(new Set());
/** The form that is open. */
export const form = signal<{ action: Exclude<Action, "acknowledge">; alerts: Alert[] } | null>(null);

const DONE: Record<Action, string> = { acknowledge: "Acknowledged", assign: "Assigned", silence: "Silenced", resolve: "Resolved" };

export function say(text: string, isError = false): void {
  const toast = { id: Math.random(), text, isError };
  toasts.value = [...toasts.value, toast];
  setTimeout(() => (toasts.value = toasts.value.filter((each) => each !== toast)), isError ? 8_000 : 2_500);
}

export async function act(action: Action, targets: Alert[], body: Record<string, string> = {}): Promise<void> {
  const by = operator.peek().trim();
  const all = by ? { ...body, by } : body;
  const ids = targets.map((alert) => alert.alert_id);
  pending.value = new Set([...pending.value, ...ids]);
  const outcomes = await Promise.allSettled(ids.map((id) => command(id, action, all)));
  pending.value = new Set([...pending.value].filter((id) => !ids.includes(id)));
  const failed = outcomes.filter((outcome) => outcome.status === "rejected");
  for (const outcome of outcomes) if (outcome.status === "fulfilled") alerts.take(outcome.value.alert, action, null);
  const done = outcomes.length - failed.length;
  if (done > 0) say(done === 1 ? DONE[action] : `${DONE[action]}: ${done} alerts`);
  if (failed[0]) say(failed[0].reason instanceof Error ? failed[0].reason.message : "That did not work", true);
}
