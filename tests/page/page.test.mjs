// The page in a real browser, on the real program.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PATIENCE_MS, Screen, Service, until } from "./support.mjs";

const KARLSRUHE = { latitude: 49.0135, longitude: 8.4044, heading_deg: 90 };

let service;
let screen;

before(async () => {
  service = new Service();
  await service.start();
  screen = await Screen.open(service.url);
});

after(async () => {
  await screen?.close();
  await service?.stop();
});

test("without vehicles the page says so, and paints none", async () => {
  await screen.page.getByText("No vehicle has reported yet", { exact: true }).waitFor();
  assert.equal((await screen.painted("--ok")).count, 0);
});

test("a vehicle that reports is painted where it is", async () => {
  await service.report("truck-7", { position: KARLSRUHE, signals: { speed_km_per_h: 42 } });
  await screen.page.getByRole("button", { name: /1 Driving/ }).waitFor();
  await screen.page.keyboard.press("w");
  const drop = await until("a point in the middle of the map", async () => {
    const { count, left, top } = await screen.painted("--ok");
    return count > 30 && Math.abs(left) < 6 && Math.abs(top) < 6 && count;
  });
  // It moves, and the point with it: a kilometre to the north is up.
  await service.report("truck-7", { position: { ...KARLSRUHE, latitude: 49.0225 }, signals: { speed_km_per_h: 44 } });
  await until("the point further up", async () => {
    const { count, top } = await screen.painted("--ok");
    return count > drop / 2 && top < -20;
  });
});

test("a click on a point opens the vehicle with its readings", async () => {
  const { left, top } = await screen.painted("--ok");
  const { width, height, x, y } = await screen.page.locator(".map canvas").boundingBox();
  await screen.page.mouse.click(x + width / 2 + left, y + height / 2 + top);
  await screen.page.getByRole("heading", { name: "truck-7" }).waitFor();
  await screen.page.locator(".chart canvas").first().waitFor();
  await screen.page.locator(".chart", { hasText: "Speed" }).getByText("44").waitFor();
  assert.match(screen.page.url(), /vehicle=truck-7/);
  await screen.page.keyboard.press("Escape");
  await screen.page.getByRole("heading", { name: "truck-7" }).waitFor({ state: "detached" });
});

test("the alert of an injected fault is on the page within a second, and the keyboard acknowledges it", async () => {
  // When each line appeared, by the clock that the server uses too.
  await screen.page.evaluate(() => {
    window.appeared = {};
    new MutationObserver(() => {
      for (const line of document.querySelectorAll("[data-alert]")) window.appeared[line.dataset.alert] ??= Date.now();
    }).observe(document.body, { childList: true, subtree: true });
  });
  const stop = service.simulate(32, [0, 7, 14, 28].map((vehicle) => `${vehicle}:sensor_open_circuit:4s:1`));
  try {
    const line = screen.page.locator("[data-alert]", { hasText: "Sensor open circuit" }).first();
    await line.waitFor({ timeout: 40_000 });
    const id = await line.getAttribute("data-alert");
    const appeared = await screen.page.evaluate((of) => window.appeared[of], id);
    // The archive has it a moment later.
    const history = await until("the alert's history", async () => {
      const { history } = await service.ask(`/api/v1/alerts/${id}`);
      return history.length > 0 && history;
    });
    const delay = appeared - Date.parse(history[0].at);
    console.log(`opened and on the page after ${delay} ms`);
    assert.ok(delay <= 1_000, `it took ${delay} ms`);
    await screen.page.keyboard.press("w");
    await until("the alert on the map", async () => (await screen.painted("--warning")).count > 20);

    await screen.page.keyboard.press("j");
    await screen.page.locator(".alert.is-current").waitFor();
    const current = await screen.page.locator(".alert.is-current").getAttribute("data-alert");
    await screen.page.keyboard.press("Enter");
    await screen.page.locator(".card").first().waitFor();
    await screen.page.keyboard.press("a");
    await screen.page.locator(`[data-alert="${current}"]`).getByText("Acknowledged").waitFor();
    assert.equal((await service.ask(`/api/v1/alerts/${current}`)).handling, "acknowledged");
  } finally {
    await stop();
  }
});

test("an alert is silenced and resolved by forms that the keyboard opens", async () => {
  const id = await screen.page.locator(".alert.is-current").getAttribute("data-alert");
  await screen.page.keyboard.press("s");
  await screen.page.getByRole("dialog", { name: "Silence" }).waitFor();
  await screen.page.keyboard.press("Escape");
  await screen.page.getByRole("dialog").waitFor({ state: "detached" });
  await screen.page.keyboard.press("r");
  await screen.page.getByLabel("Note").fill("loose plug");
  await screen.page.keyboard.press("Enter");
  const resolved = await until("the alert resolved", async () => {
    const alert = await service.ask(`/api/v1/alerts/${id}`);
    return alert.handling === "resolved" && alert;
  });
  assert.deepEqual([resolved.verdict, resolved.note], ["confirmed", "loose plug"]);
});

test("nobody stumbles: no serious barrier in either theme, on any view", async () => {
  for (const theme of ["dark", "light"]) {
    await screen.page.emulateMedia({ colorScheme: theme });
    for (const [key, heading] of [["1", null], ["2", "Models"], ["3", "Quarantine"]]) {
      await screen.page.keyboard.press("Escape");
      await screen.page.keyboard.press(key);
      if (heading) await screen.page.getByRole("heading", { name: heading, level: 1 }).waitFor();
      if (!heading) {
        await screen.page.keyboard.press("j");
        await screen.page.keyboard.press("Enter");
        await screen.page.locator(".card").first().waitFor();
      }
      assert.deepEqual(await screen.barriers(), [], `${theme}, ${heading ?? "Map"}`);
    }
  }
  await screen.page.keyboard.press("?");
  await screen.page.getByRole("dialog", { name: "Keys and signs" }).waitFor();
  assert.deepEqual(await screen.barriers(), [], "help");
  await screen.page.keyboard.press("Escape");
  await screen.page.keyboard.press("1");
});

test("when the server is killed the page says so, and goes on by itself when it is back", async () => {
  await screen.page.evaluate(() => (window.isTheSamePage = true));
  const known = await screen.page.locator(".legend-total").textContent();
  screen.isServerAway = true;
  await service.kill();
  await screen.page.getByText("Odograph does not answer.").waitFor();
  await service.start();
  await screen.page.getByRole("status").getByText("Live").waitFor();
  screen.isServerAway = false;
  // Silent vehicles are known again, and what is new arrives.
  assert.equal(await screen.page.locator(".legend-total").textContent(), known);
  // What is open by the server's word is open on the page; one alert was handled before the kill, and still is.
  const alerts = (await service.ask("/api/v1/alerts?limit=1000")).alerts.filter(({ condition }) => condition !== "cleared");
  await screen.page.locator(".alerts .badge", { hasText: new RegExp(`^${alerts.length}$`) }).waitFor();
  assert.ok(alerts.some(({ handling }) => handling === "resolved"));
  await service.report("van-8", { position: KARLSRUHE, signals: { speed_km_per_h: 10 } });
  const count = Number(known.replace(/\D/g, "")) + 1;
  await screen.page.locator(".legend-total", { hasText: `of ${count}` }).waitFor({ timeout: PATIENCE_MS });
  assert.equal(await screen.page.evaluate(() => window.isTheSamePage), true, "without a reload");
  await screen.page.getByText("Odograph does not answer.").waitFor({ state: "detached" });
});

test("all the while the page reported no error and asked nobody else", () => {
  assert.deepEqual(screen.errors, []);
});
