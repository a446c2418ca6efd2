/** Models and quarantine: small tables. */
import type { ComponentChildren } from "preact";
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { say } from "../commands";
import { ask } from "../live/api";
import { connection } from "../live/channel";
import { number, odds } from "../format";
import type { Model } from "../live/forms";
import { sentence } from "../words";
import { Ago } from "./time";

interface QuarantinedMessage {
  id: number;
  received_at: string;
  source: string;
  vehicle_id: string;
  reason: string;
  detail: string;
  payload_bytes: number;
  payload_base64: string;
  replayed_at?: string;
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
                <th>What it does</th>
                <th>For</th>
                <th class="right">Features</th>
                <th>Alerts at</th>
                <th class="right">Size</th>
              </tr>
            </thead>
            <tbody>
              {models.map((model) => (
                <tr key={`${model.name}${model.version}`}>
                  <th scope="row">{model.name}</th>
                  <td>{model.version}</td>
                  <td class="wide">
                    {model.description}
                    <span class="quiet"> {sentence(model.kind)} · {model.license}</span>
                  </td>
                  <td>{[...model.applies_to.classes, ...model.applies_to.powertrains].map(sentence).join(", ") || "every vehicle"}</td>
                  <td class="right">
                    <details>
                      <summary>{model.features.length}</summary>
                      <ul class="features">
                        {model.features.map((feature) => (
                          <li key={feature}>{feature}</li>
                        ))}
                      </ul>
                    </details>
                  </td>
                  <td class="nowrap">
                    {model.alert.measure === "raw" ? `raw ${number(model.alert.open)}` : odds(model.alert.open)}
                    <span class="quiet">, {model.alert.raised} of {model.alert.of} readings</span>
                  </td>
                  <td class="right nowrap">{number(model.file_bytes / 1_024, 0)} KiB</td>
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
                    <span class="sr-only">Take in again</span>
                  </th>
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
                      <button class="link" disabled={Boolean(message.replayed_at)} onClick={() => void replay(message.id)}>
                        {message.replayed_at ? "Taken in again" : "Try again"}
                      </button>
                    </td>
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

/** Once what refused it is mended. */
async function replay(id: number): Promise<void> {
  try {
    const body = JSON.stringify({ ids: [id] });
    const answer = await ask<{ taken: number; not_whole: number }>("/api/v1/quarantine/replay", { method: "POST", body });
    if (answer.taken > 0) say("Taken in again");
    else say(answer.not_whole > 0 ? "Only its beginning was kept" : "It is refused as before", true);
  } catch (error) {
    say(error instanceof Error ? error.message : "That did not work", true);
  }
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
