/** What this person chose to see, for as long as the page lives. */
import { signal } from "@preact/signals";
import type { State } from "./live/forms";

export const hiddenStates = signal<ReadonlySet<State>>(new Set());

/** For "acknowledged by"; kept in this browser. */
export const operator = signal(kept("odograph-operator") ?? "");

export function setOperator(name: string): void {
  operator.value = name;
  try {
    localStorage.setItem("odograph-operator", name);
  } catch {
    // Without storage the name lasts as long as the page.
  }
}

export function toggled<T>(set: ReadonlySet<T>, value: T): ReadonlySet<T> {
  const next = new Set(set);
  if (!next.delete(value)) next.add(value);
  return next;
}

function kept(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}
