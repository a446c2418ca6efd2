// What the map lies on: the page's own world, or tiles that the settings name.
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Screen, Service, until } from "./support.mjs";
import { aForest } from "./tiles.mjs";

/** Beside what the page says in the middle. */
const LAND = { Brazil: [-50, -10], Siberia: [100, 62], Canada: [-110, 60] };
/** Where bands across the map would lie, if ways that cross the antimeridian jumped back. */
const SEA = { "Norwegian Sea": [0, 67], "north of Siberia": [-5, 71.2], "Southern Atlantic": [-20, -16.5] };

test("the world is drawn where it is, in both themes, before any vehicle reports", async () => {
  const service = new Service();
  await service.start();
  const screen = await Screen.open(service.url, "light");
  try {
    for (const theme of ["light", "dark"]) {
      await screen.page.emulateMedia({ colorScheme: theme });
      await until(`Brazil in ${theme}`, () => screen.isPainted(...LAND.Brazil, "--land"), 60_000);
      for (const [name, place] of Object.entries(LAND)) assert.ok(await screen.isPainted(...place, "--land"), `${name}, ${theme}`);
      for (const [name, place] of Object.entries(SEA)) assert.ok(await screen.isPainted(...place, "--sea"), `${name}, ${theme}`);
    }
    assert.deepEqual(screen.errors, []);
  } finally {
    await screen.close();
    await service.stop();
  }
});

test("tiles from a file are drawn out of this process, under its own policy", async () => {
  const service = new Service();
  const file = join(service.folder, "forest.pmtiles");
  writeFileSync(file, aForest());
  service.environment["ODOGRAPH__PAGE__MAP_TILES"] = file;
  await service.start();
  const screen = await Screen.open(service.url, "light");
  try {
    await until("a forest all over the world", async () => (await screen.painted("--green")).count > 200_000, 60_000);
    await screen.page.emulateMedia({ colorScheme: "dark" });
    await until("the same forest at night", async () => (await screen.painted("--green")).count > 200_000, 60_000);
    await screen.page.locator(".maplibregl-ctrl-attrib", { hasText: "Foresters" }).waitFor();
    assert.deepEqual(screen.errors, []);
  } finally {
    await screen.close();
    await service.stop();
  }
});
