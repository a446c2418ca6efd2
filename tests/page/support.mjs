// What the tests of the page share: the real program in a folder of its own, vehicles that report to it, and a browser.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const require = createRequire(join(root, "src/dashboard/web/package.json"));
const { chromium } = require("playwright-core");
const { PNG } = require("pngjs");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const binary = process.env.ODOGRAPH_BINARY ?? join(root, "target/debug/odograph");
const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) => existsSync(path));
/** A browser that draws with the processor, beside a build, takes its time. */
export const PATIENCE_MS = 20_000;

/** The program, which can be killed and started again on the same data and at the same address. */
export class Service {
  folder = mkdtempSync(join(tmpdir(), "odograph-page-"));
  address = "127.0.0.1:0";
  /** Settings are put in here, as ODOGRAPH__SECTION__KEY. */
  environment = { ...process.env };

  async start() {
    const child = spawn(binary, ["run", "--http", this.address, "--mqtt", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--data", join(this.folder, "data")], {
      stdio: ["ignore", "pipe", "pipe"],
      env: this.environment,
    });
    this.child = child;
    let messages = "";
    child.stderr.on("data", (text) => (messages += text));
    const line = await Promise.race([
      once(createInterface(child.stdout), "line").then(([text]) => text),
      once(child, "exit").then(() => assert.fail(`odograph ended before it was ready:\n${messages}`)),
    ]);
    const ready = JSON.parse(line);
    this.address = ready.http;
    this.mqtt = ready.mqtt;
  }

  get url() {
    return `http://${this.address}`;
  }

  /** SIGKILL. */
  async kill() {
    const gone = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await gone;
  }

  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const gone = once(this.child, "exit");
      this.child.kill("SIGTERM");
      await gone;
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  async ask(path) {
    const response = await fetch(this.url + path);
    assert.ok(response.ok, `${path}: ${response.status}`);
    return response.json();
  }

  /** One reading of one vehicle, durable when this returns. */
  async report(vehicleId, reading) {
    const body = JSON.stringify({ recorded_at: new Date().toISOString(), ignition: "on", ...reading });
    const response = await fetch(`${this.url}/api/v1/telemetry/${vehicleId}`, { method: "POST", body });
    assert.equal(response.status, 200, await response.text());
  }

  /** A fleet that falls ill as planned, such as `0:sensor_open_circuit:3s`; ends with the returned function. */
  simulate(vehicles, plans) {
    const planned = plans.flatMap((plan) => ["--plan", plan]);
    const child = spawn(binary, ["simulate", "--vehicles", String(vehicles), "--every", "1s", "--faults", "none", ...planned, "--mqtt", `mqtt://${this.mqtt}`], {
      stdio: "ignore",
    });
    return async () => {
      const gone = once(child, "exit");
      if (child.kill("SIGTERM")) await gone;
    };
  }
}

/** A browser with one page, which must ask nobody else and report no error. */
export class Screen {
  errors = [];
  /** While the server is away a browser complains about that. */
  isServerAway = false;

  static async open(url, theme = "dark") {
    assert.ok(CHROMIUM, "Chromium is missing: make test-servers installs it");
    const screen = new Screen();
    screen.browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
    });
    const page = await screen.browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme: theme });
    screen.page = page;
    page.setDefaultTimeout(PATIENCE_MS);
    page.on("pageerror", (error) => screen.errors.push(String(error.stack)));
    page.on("console", (message) => {
      // What the graphics driver says of its own speed is no mistake of the page.
      if (/WebGL: INVALID/.test(message.text())) screen.errors.push(message.text());
      if (message.type() === "error" && !(screen.isServerAway && /ERR_|WebSocket/.test(message.text()))) screen.errors.push(message.text());
    });
    page.on("request", (request) => {
      const asked = request.url();
      if (!asked.startsWith(url) && !/^(data|blob):/.test(asked)) screen.errors.push(`asked somebody else: ${asked}`);
    });
    await page.goto(url);
    await page.getByRole("status").getByText("Live").waitFor();
    return screen;
  }

  async close() {
    await this.browser.close();
  }

  /** Whether the point of the map at a place has a colour of the style sheet, while the whole world is shown as at the start. */
  async isPainted(longitude, latitude, name) {
    // The start of map.tsx: the middle, and the zoom.
    const [middle, zoom] = [mercator(8, 30), 1.2];
    const [x, y] = mercator(longitude, latitude);
    const scale = 512 * 2 ** zoom;
    const { width, height, data } = await this.picture();
    const [left, top] = [Math.round(width / 2 + (x - middle[0]) * scale), Math.round(height / 2 + (y - middle[1]) * scale)];
    const colour = await this.colour(name);
    return isSame(data, (top * width + left) * 4, colour);
  }

  async picture() {
    // While it draws the world for the first time it hears nothing else.
    return PNG.sync.read(await this.page.locator(".map canvas").screenshot({ timeout: 3 * PATIENCE_MS }));
  }

  /** Red, green, blue of a colour of the style sheet. */
  async colour(name) {
    const wanted = await this.page.evaluate((of) => getComputedStyle(document.documentElement).getPropertyValue(of).trim(), name);
    const hex = wanted.length === 4 ? [...wanted.slice(1)].map((digit) => digit + digit).join("") : wanted.slice(1);
    return [0, 2, 4].map((at) => Number.parseInt(hex.slice(at, at + 2), 16));
  }

  /** How many points of the map have a colour of the style sheet, such as `--ok`, and where their middle is, from the map's middle. */
  async painted(name) {
    const colour = await this.colour(name);
    const { width, height, data } = await this.picture();
    let [count, left, top] = [0, 0, 0];
    for (let index = 0; index < width * height; index += 1) {
      if (isSame(data, index * 4, colour)) [count, left, top] = [count + 1, left + (index % width), top + Math.floor(index / width)];
    }
    return { count, left: left / count - width / 2, top: top / count - height / 2 };
  }

  /** What somebody who cannot see or point would stumble over. */
  async barriers() {
    // Not as a script tag: the page's policy takes no script from elsewhere.
    await this.page.evaluate(AXE);
    const { violations } = await this.page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
    const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
    return grave.map(({ id, nodes }) => `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join("; ")}`);
  }
}

/** Up to what antialiasing does. */
function isSame(data, at, colour) {
  return colour.every((part, channel) => Math.abs(data[at + channel] - part) <= 6);
}

function mercator(longitude, latitude) {
  return [longitude / 360 + 0.5, 0.5 - Math.log(Math.tan(Math.PI / 4 + (latitude * Math.PI) / 360)) / (2 * Math.PI)];
}

/** Looks again until it holds. */
export async function until(what, look, within = PATIENCE_MS) {
  const since = performance.now();
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    assert.ok(performance.now() - since < within, `not within ${within} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
