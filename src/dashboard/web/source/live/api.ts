/** Questions to the API. Errors carry the sentence that the server wrote for people. */
import type { Alert, AlertHistory, Reading, Vehicle } from "./forms";

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export async function ask<T>(path: string, init?: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "Odograph does not answer");
  }
  if (!response.ok) {
    const problem = (await response.json().catch(() => null)) as { detail?: string; title?: string } | null;
    throw new ApiError(response.status, problem?.detail ?? problem?.title ?? `status ${response.status}`);
  }
  return (await response.json()) as T;
}

const vehiclePath = (id: string) => `/api/v1/vehicles/${encodeURIComponent(id)}`;

export const vehicle = (id: string, signal: AbortSignal) => ask<Vehicle>(vehiclePath(id), { signal });

export const alert = (id: string, signal: AbortSignal) => ask<Alert & { history: AlertHistory[] }>(`/api/v1/alerts/${id}`, { signal });

export interface AlertsPage {
  alerts: Alert[];
  next_cursor: string | null;
}

export const alerts = (query: Record<string, string>, signal?: AbortSignal) =>
  ask<AlertsPage>(`/api/v1/alerts?${new URLSearchParams(query)}`, signal ? { signal } : undefined);

export type Action = "acknowledge" | "assign" | "silence" | "resolve";

export const command = (id: string, action: Action, body: Record<string, string>) =>
  ask<{ changed: boolean; alert: Alert }>(`/api/v1/alerts/${id}/${action}`, { method: "POST", body: JSON.stringify(body) });

/** Pages of readings behind `from`, oldest first, as they come. */
export async function* readings(id: string, from: Date, signal: AbortSignal): AsyncGenerator<Reading[]> {
  // A day at 5 s is 18 pages; more is not looked at in one chart.
  const MOST_PAGES = 20;
  let cursor: string | null = null;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const query = new URLSearchParams({ from: from.toISOString(), limit: "1000" });
    if (cursor) query.set("cursor", cursor);
    const answer: { readings: Reading[]; next_cursor: string | null } = await ask(`${vehiclePath(id)}/readings?${query}`, { signal });
    yield answer.readings;
    cursor = answer.next_cursor;
    if (!cursor) return;
  }
}
