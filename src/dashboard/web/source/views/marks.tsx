/** The shapes of states and severities, as on the map. */
import type { Severity, State } from "../live/forms";

export function StateMark({ state, severity }: { state: State; severity?: Severity | null }) {
  return (
    <svg class={`mark mark-${state === "alert" ? (severity ?? "critical") : state}`} viewBox="-8 -8 16 16" aria-hidden="true">
      {state === "alert" ? shapes[severity ?? "critical"] : stateShapes[state]}
    </svg>
  );
}

export function SeverityMark({ severity, isOver = false }: { severity: Severity; isOver?: boolean }) {
  return (
    <svg class={`mark ${isOver ? "mark-over" : `mark-${severity}`}`} viewBox="-8 -8 16 16" aria-hidden="true">
      {shapes[severity]}
    </svg>
  );
}

const shapes = {
  critical: (
    <>
      <path d="M0-7.6 7.6 0 0 7.6-7.6 0Z" />
      <path class="mark-cut" d="M-.9-4h1.8l-.3 4.6h-1.2ZM0 1.8a1.05 1.05 0 1 1 0 2.1 1.05 1.05 0 0 1 0-2.1Z" />
    </>
  ),
  warning: <path d="M0-6.6 6.9 5.2a.9.9 0 0 1-.8 1.3H-6.1a.9.9 0 0 1-.8-1.3Z" />,
  info: <circle r="5.4" />,
};

const stateShapes = {
  ok: <path d="M0-7.4 4.1-2.2A5 5 0 1 1-4.1-2.2Z" />,
  parked: <rect class="mark-hollow" x="-4.4" y="-4.4" width="8.8" height="8.8" rx="1.4" />,
  stale: <circle class="mark-hollow" r="4.8" />,
  offline: <path class="mark-hollow" d="M-4.4-4.4 4.4 4.4M4.4-4.4-4.4 4.4" />,
};
