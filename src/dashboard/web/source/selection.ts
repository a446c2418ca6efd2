/** The line of the list that the keyboard is on. */
import { signal } from "@preact/signals";
import { lines, type Line } from "./live/alerts";

/** `alert:ID` or `group:KEY`. */
export const current = signal<string | null>(null);

export function keyOf(line: Line): string {
  return line.kind === "alert" ? `alert:${line.alert.alert_id}` : line.kind === "group" ? `group:${line.key}` : "closed";
}

export function isCurrent(line: Line): boolean {
  return current.value === keyOf(line);
}

export function select(line: Line): void {
  current.value = keyOf(line);
}

export function currentLine(): Line | undefined {
  return lines.peek().find((line) => keyOf(line) === current.peek());
}

/** One line down or up; dividers are passed over. */
export function move(by: 1 | -1): Line | undefined {
  const all = lines.peek().filter((line) => line.kind !== "closed");
  if (all.length === 0) return undefined;
  const at = all.findIndex((line) => keyOf(line) === current.peek());
  const next = at < 0 ? (by === 1 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, at + by));
  const line = all[next]!;
  select(line);
  return line;
}
