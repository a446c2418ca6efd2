// What the page says when something is wrong with the service itself, in a real browser, on the real program.
import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Screen, Service } from "./support.mjs";

let service;
let screen;

before(async () => {
  service = new Service();
  await service.start();
});

after(async () => {
  await screen?.close();
  await service?.stop();
});

/** Flips a bit of the record of this vehicle's reading, in the journal of a service that does not run. */
function flipABitOf(vehicleId) {
  const folder = join(service.folder, "data/journal");
  for (const name of readdirSync(folder).filter((name) => name.endsWith(".journal"))) {
    const bytes = readFileSync(join(folder, name));
    const at = bytes.indexOf(vehicleId);
    if (at < 0) continue;
    bytes[at] ^= 1;
    writeFileSync(join(folder, name), bytes);
    return;
  }
  assert.fail(`no segment has a reading of ${vehicleId}`);
}

test("damage of the journal is on the page until somebody acknowledges it there", async () => {
  for (const vehicleId of ["van-1", "van-2", "van-3"]) await service.report(vehicleId, { signals: { speed_km_per_h: 50 } });
  await service.kill();
  flipABitOf("van-2");
  await service.start();
  screen = await Screen.open(service.url);
  const notice = screen.page.getByRole("alert").filter({ hasText: "1 damaged place in the journal" });
  await notice.waitFor();
  assert.deepEqual(await screen.barriers(), []);
  await notice.getByRole("button", { name: "Acknowledge" }).click();
  await notice.waitFor({ state: "detached" });
  const { alert } = await service.ask("/api/v1/journal/damage");
  assert.equal(alert.count, 1);
  assert.ok(alert.acknowledged_at);
  const { degraded } = await service.ask("/health/ready");
  assert.deepEqual(degraded, []);
  assert.deepEqual(screen.errors, []);
});
