/** One signal over time. All charts of a vehicle share the cursor. */
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { number } from "../format";
import { colour, theme } from "../theme";

const HEIGHT = 58;
const TIMES_HEIGHT = 18;
const sync = uPlot.sync("vehicle");

export interface Series {
  code: string;
  name: string;
  unit: string;
  times: number[];
  values: (number | null)[];
  /** A line across, such as the limit that was passed. */
  limit?: number | null;
  /** How a value is written, where not as a number with the unit. */
  write?: (value: number) => string;
  /** The same for the scale, in fewer letters. */
  writeShort?: (value: number) => string;
  /** The scale begins here. */
  from?: number;
}

export interface Band {
  /** Seconds since 1970. */
  from: number;
  to: number;
  severity: string;
}

export function Chart({ series, bands, span, hasTimes }: { series: Series; bands: Band[]; span: [number, number]; hasTimes: boolean }) {
  const height = HEIGHT + (hasTimes ? TIMES_HEIGHT : 0);
  const element = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [at, setAt] = useState<number | null>(null);
  const latest = useRef({ series, bands, span });
  latest.current = { series, bands, span };
  useEffect(() => {
    const container = element.current!;
    const made = new uPlot({ ...options(latest, setAt, hasTimes), width: container.clientWidth, height }, data(latest.current.series), container);
    plot.current = made;
    const watcher = new ResizeObserver(() => made.setSize({ width: container.clientWidth, height }));
    watcher.observe(container);
    return () => {
      watcher.disconnect();
      made.destroy();
    };
  }, [series.code, theme.value, hasTimes]);
  useEffect(() => {
    plot.current?.setData(data(series));
  }, [series.times, series.values.length, span[0], span[1], bands.length]);
  const shown = at !== null && at < series.values.length ? series.values[at]! : lastOf(series.values);
  return (
    <figure class="chart">
      <figcaption>
        <span>{series.name}</span>
        <span class="chart-value">
          {shown === null ? "–" : series.write ? series.write(shown) : number(shown)} <span class="unit">{series.unit}</span>
        </span>
      </figcaption>
      <div class="chart-plot" ref={element} />
    </figure>
  );
}

function data(series: Series): uPlot.AlignedData {
  return [series.times, series.values];
}

function lastOf(values: (number | null)[]): number | null {
  return values.findLast((value) => value !== null) ?? null;
}

function options(latest: { current: { series: Series; bands: Band[]; span: [number, number] } }, setAt: (at: number | null) => void, hasTimes: boolean): Omit<uPlot.Options, "width" | "height"> {
  const line = colour("--chart");
  const grid = colour("--grid");
  const text = colour("--quiet");
  const font = '10.5px "Inter Variable", sans-serif';
  return {
    padding: [6, 4, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: sync.key }, y: false, points: { size: 6, fill: line }, drag: { x: false, y: false } },
    scales: {
      x: { time: true, range: () => latest.current.span },
      y: {
        range: (_plot, low, high) => {
          const { series } = latest.current;
          const limit = series.limit ?? null;
          const [from, to] = limit === null ? [low, high] : [Math.min(low, limit), Math.max(high, limit)];
          // A quiet signal stays a quiet line: no noise blown up to full height.
          const least = Math.max(Math.abs(to) * 0.04, 0.5);
          const room = Math.max((least - (to - from)) / 2, (to - from) * 0.08);
          return [series.from ?? from - room, to + (series.writeShort ? Math.max(room, 0.6) : room)];
        },
      },
    },
    axes: [
      { stroke: text, font, size: hasTimes ? TIMES_HEIGHT : 0, gap: 2, ticks: { show: false }, grid: { stroke: grid, width: 1 }, space: 70, values: hasTimes ? times : (_plot, splits) => splits.map(() => "") },
      { stroke: text, font, size: 40, gap: 4, ticks: { show: false }, grid: { stroke: grid, width: 1 }, space: 24, values: (_plot, splits) => splits.map((split) => scaleWords(latest.current.series, split, splits)) },
    ],
    series: [{}, { stroke: line, width: 1.4, points: { show: false }, spanGaps: false }],
    hooks: {
      drawClear: [(plot) => drawBands(plot, latest.current.bands)],
      draw: [(plot) => drawLimit(plot, latest.current.series.limit ?? null)],
      setCursor: [(plot) => setAt(plot.cursor.idx ?? null)],
    },
  };
}

function scaleWords(series: Series, split: number, splits: number[]): string {
  return series.writeShort ? series.writeShort(split) : number(split, splits.every(Number.isInteger) ? 0 : undefined);
}

function times(_plot: uPlot, splits: number[]): string[] {
  const withSeconds = splits.length > 1 && splits[1]! - splits[0]! < 60;
  return splits.map((second) => new Date(second * 1_000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23", ...(withSeconds ? { second: "2-digit" } : {}) }));
}

/** While an alert was open. */
function drawBands(plot: uPlot, bands: Band[]): void {
  const { ctx, bbox } = plot;
  ctx.save();
  for (const { from, to, severity } of bands) {
    const left = Math.max(plot.valToPos(from, "x", true), bbox.left);
    const right = Math.min(plot.valToPos(to, "x", true), bbox.left + bbox.width);
    if (right <= left) continue;
    ctx.globalAlpha = 0.13;
    ctx.fillStyle = colour(`--${severity}`);
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
  }
  ctx.restore();
}

function drawLimit(plot: uPlot, limit: number | null): void {
  if (limit === null) return;
  const { ctx, bbox } = plot;
  const y = plot.valToPos(limit, "y", true);
  ctx.save();
  ctx.strokeStyle = colour("--critical");
  ctx.setLineDash([5, 4]);
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}
