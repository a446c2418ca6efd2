/** What the process says is wrong with itself, asked for every half minute. */
import { signal } from "@preact/signals";
import { say } from "../commands";
import { operator } from "../settings";
import { ask } from "./api";

export interface Reason {
  part: string;
  problem: string;
}

/** Of this part a person is asked to acknowledge it. */
export const JOURNAL_DAMAGE = "journal damage";

const ASK_EVERY_MS = 30_000;

export const problems = signal<Reason[]>([]);

/** While it does not answer at all, the connection says so. */
async function look(): Promise<void> {
  try {
    // It says why with status 503, too.
    const answer = (await (await fetch("/health/ready")).json()) as { reasons: Reason[]; degraded: Reason[] };
    problems.value = [...answer.reasons, ...answer.degraded];
  } catch {
    problems.value = [];
  }
}

export async function acknowledgeDamage(): Promise<void> {
  const by = operator.peek().trim();
  try {
    await ask("/api/v1/journal/damage/acknowledge", { method: "POST", body: JSON.stringify(by ? { by } : {}) });
    say("Acknowledged");
  } catch (error) {
    say(error instanceof Error ? error.message : "That did not work", true);
  }
  await look();
}

export function watchHealth(): void {
  void look();
  setInterval(() => void look(), ASK_EVERY_MS);
}
