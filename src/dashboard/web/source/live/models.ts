/** The models that score here, asked for once: they change with a restart. */
import { effect, signal } from "@preact/signals";
import { ask } from "./api";
import { connection } from "./channel";
import type { Model } from "./forms";

export const models = signal<Model[]>([]);

effect(() => {
  if (connection.value.state !== "live") return;
  ask<{ models: Model[] }>("/api/v1/models").then(
    (answer) => (models.value = answer.models),
    () => undefined,
  );
});
