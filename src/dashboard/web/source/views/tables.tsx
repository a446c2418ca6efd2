/** Models and quarantine: small tables. */
import type { ComponentChildren } from "preact";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ask } from "../live/api";
import { connection } from "../live/channel";
import { number, odds } from "../format";
import { sentence } from "../words";
import { Ago } from "./time";

interface Model {
  name: string;
  version: string;
  status?: string;
  role?: string;
  description?: string;
  features?: string[] | number;
  license?: string;
  threshold?: number | null;
  threshold_probability?: number | null;
  [more: string]: unknown;
}

interface QuarantinedMessage {
  id: number;
  received_at: string;
  source: string;
  vehicle_id: string;
  reason: string;
  detail: string;
  payload_bytes: number;
  payload_base64: string;
}

export function Models() {
  const answer = useAnswer<{ models: Model[] }>("/api/v1/models");
  return (
    <Page title="Models" what="What scores every reading, in this process.">
      <Answered answer={answer} empty={(all) => all.models.length === 0} nothing={["No model scores here", "Add one with odograph model add FILE.onnx, or in analytics.models of the settings."]}>
        {({ models }) => (
          <table class="table">
            <thead>
              <tr>
                <th>Name</th>
                <th>Version</th>
                <th>Role</th>
                <th>What it does</th>
                <th class="right">Features</th>
                <th class="right">Limit</th>
              </tr>
            </thead>
            <tbody>
              {models.map((model) => (
                <tr key={`${model.name}${model.version}`}>
                  <th scope="row">{model.name}</th>
                  <td>{model.version}</td>
                  <td>{sentence(model.status ?? model.role ?? "active")}</td>
                  <td class="wide">{model.description ?? ""}</td>
                  <td class="right">{Array.isArray(model.features) ? model.features.length : (model.features ?? "–")}</td>
                  <td class="right">
                    {model.threshold != null ? number(model.threshold, 4) : model.threshold_probability != null ? odds(model.threshold_probability) : "–"}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Answered>
    </Page>
  );
}

export function Quarantine() {
  const answer = useAnswer<{ messages: QuarantinedMessage[]; counts: Record<string, number> }>("/api/v1/quarantine?limit=100");
  return (
    <Page title="Quarantine" what="Messages that were acknowledged and not believed, newest first, with the reason.">
      <Answered answer={answer} empty={(all) => all.messages.length === 0} nothing={["Quarantine is empty", "Every message so far could be read and believed."]}>
        {({ messages, counts }) => (
          <>
            <ul class="counts" aria-label="Refused so far, by reason">
              {Object.entries(counts)
                .sort((a, b) => b[1] - a[1])
                .map(([reason, count]) => (
                  <li key={reason}>
                    <strong>{number(count, 0)}</strong> {sentence(reason)}
                  </li>
                ))}
            </ul>
            <table class="table">
              <thead>
                <tr>
                  <th>When</th>
                  <th>Vehicle</th>
                  <th>Way in</th>
                  <th>Reason</th>
                  <th>Detail</th>
                  <th class="right">Bytes</th>
                  <th>
                    <span class="sr-only">Payload</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {messages.map((message) => (
                  <tr key={message.id}>
                    <td class="nowrap">
                      <Ago at={message.received_at} />
                    </td>
                    <td class="vehicle-id">{message.vehicle_id}</td>
                    <td>{message.source}</td>
                    <td class="nowrap">{sentence(message.reason)}</td>
                    <td class="wide">{message.detail}</td>
                    <td class="right">{number(message.payload_bytes, 0)}</td>
                    <td>
                      <a href={`/api/v1/quarantine/${message.id}/payload`} download={`quarantine-${message.id}`} aria-label={`Payload of message ${message.id}`}>
                        Payload
                      </a>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </>
        )}
      </Answered>
    </Page>
  );
}

function Page({ title, what, children }: { title: string; what: string; children: ComponentChildren }) {
  return (
    <main class="page scrolls" tabIndex={0} aria-label={title}>
      <div class="page-body">
        <h1>{title}</h1>
        <p class="quiet">{what}</p>
        {children}
      </div>
    </main>
  );
}

type Answer<T> = { state: "loading" } | { state: "here"; value: T } | { state: "failed"; why: string };

/** Asked at once, every 10 s, and after each reconnection. */
function useAnswer<T>(path: string): Answer<T> {
  const answer = useSignal<Answer<T>>({ state: "loading" });
  const isLive = connection.value.state === "live";
  useEffect(() => {
    const look = () =>
      ask<T>(path).then(
        (value) => (answer.value = { state: "here", value }),
        (error: Error) => {
          if (answer.peek().state !== "here") answer.value = { state: "failed", why: error.message };
        },
      );
    void look();
    const again = setInterval(look, 10_000);
    return () => clearInterval(again);
  }, [path, isLive]);
  return answer.value;
}

function Answered<T>({ answer, empty, nothing, children }: { answer: Answer<T>; empty: (value: T) => boolean; nothing: [string, string]; children: (value: T) => ComponentChildren }) {
  if (answer.state === "loading") {
    return (
      <div class="skeletons">
        <span class="skeleton" />
        <span class="skeleton" />
      </div>
    );
  }
  const [title, words] = answer.state === "failed" ? ["This cannot be shown now", answer.why] : nothing;
  if (answer.state === "failed" || empty(answer.value)) {
    return (
      <div class="empty">
        <strong>{title}</strong>
        <span>{words}</span>
      </div>
    );
  }
  return <>{children(answer.value)}</>;
}
