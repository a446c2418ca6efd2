/** Draws every vehicle as one point of one buffer: shapes by state, gliding from place to place. Only what changed is sent to the GPU. */
import type { CustomLayerInterface, Map as MapLibre } from "maplibre-gl";
import { fleet, mercator, type Kept } from "../live/fleet";
import type { State } from "../live/forms";
import { palette } from "../theme";
import { fragmentShader, KINDS, vertexShader } from "./vehicles_shader";

/** Floats of one vehicle. */
const STRIDE = 13;
const GLIDE_S = 0.9;
const FRAME_MS = 25;
/** A way shorter than this on the screen is not worth drawing it sixty times. */
const LEAST_GLIDE_PX = 2;
/** More than this many changes are sent as one buffer. */
const MANY = 400;

export class VehiclesLayer implements CustomLayerInterface {
  readonly id = "vehicles";
  readonly type = "custom";
  readonly renderingMode = "2d";
  hidden: ReadonlySet<State> = new Set();
  selected: string | null = null;
  private map!: MapLibre;
  private program!: WebGLProgram;
  private array!: WebGLVertexArrayObject;
  private buffer!: WebGLBuffer;
  private uniforms = new Map<string, WebGLUniformLocation | null>();
  private data = new Float32Array(0);
  private capacity = 0;
  private animatesUntil = 0;
  private readonly isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;

  onAdd(map: MapLibre, gl: WebGL2RenderingContext): void {
    this.map = map;
    this.uniforms.clear();
    this.program = link(gl, vertexShader, fragmentShader);
    this.buffer = gl.createBuffer();
    this.array = gl.createVertexArray();
    gl.bindVertexArray(this.array);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
    const attributes = [["a_from", 4], ["a_to", 4], ["a_moved_at", 1], ["a_glides", 1], ["a_kind", 1], ["a_heading", 1], ["a_moves", 1]] as const;
    let offset = 0;
    for (const [name, size] of attributes) {
      const location = gl.getAttribLocation(this.program, name);
      gl.enableVertexAttribArray(location);
      gl.vertexAttribPointer(location, size, gl.FLOAT, false, STRIDE * 4, offset * 4);
      offset += size;
    }
    gl.bindVertexArray(null);
    this.capacity = 0;
    fleet.isReordered = true;
  }

  onRemove(_map: MapLibre, gl: WebGL2RenderingContext): void {
    gl.deleteProgram(this.program);
    gl.deleteBuffer(this.buffer);
    gl.deleteVertexArray(this.array);
    this.uniforms.clear();
  }

  render(gl: WebGL2RenderingContext): void {
    gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
    this.upload(gl);
    gl.useProgram(this.program);
    gl.bindVertexArray(this.array);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.STENCIL_TEST);
    const uniform = (name: string) => this.uniform(gl, name);
    const { x, y, scale } = this.view();
    const canvas = this.map.getCanvas();
    gl.uniform4f(uniform("u_centre"), Math.fround(x), Math.fround(y), x - Math.fround(x), y - Math.fround(y));
    gl.uniform2f(uniform("u_scale"), (2 * scale) / canvas.clientWidth, (-2 * scale) / canvas.clientHeight);
    gl.uniform1f(uniform("u_now"), performance.now() / 1_000);
    gl.uniform1f(uniform("u_pixels"), devicePixelRatio);
    gl.uniform1f(uniform("u_zoom"), this.map.getZoom());
    // Ten thousand are a texture of the roads, two hundred are signs.
    gl.uniform1f(uniform("u_dense"), Math.min(1, Math.max(0, Math.log10(fleet.list.length / 400) / 1.4)));
    const { kinds, halo, accent } = palette.value;
    gl.uniform3fv(uniform("u_colours"), kinds.flat());
    gl.uniform3fv(uniform("u_halo"), halo);
    gl.uniform3fv(uniform("u_accent"), accent);
    gl.uniform1i(uniform("u_hidden"), this.hiddenKinds());
    const count = fleet.list.length;
    // Silent ones below, those that need somebody on top.
    for (const pass of [0, 1, 2]) {
      gl.uniform1i(uniform("u_pass"), pass);
      gl.drawArrays(gl.POINTS, 0, count);
    }
    const selected = this.selected === null ? undefined : fleet.byId.get(this.selected);
    if (selected !== undefined) {
      gl.uniform1i(uniform("u_pass"), 3);
      gl.drawArrays(gl.POINTS, selected, 1);
    }
    gl.bindVertexArray(null);
    // Half of the frames are enough for a few pixels of way, and leave a laptop its battery.
    if (performance.now() / 1_000 < this.animatesUntil) setTimeout(() => this.map.triggerRepaint(), FRAME_MS);
  }

  /** The vehicle nearest to a place on the screen, alerts first, within reach of a pointer. */
  pick(left: number, top: number, reach = 14): Kept | null {
    const { x, y, scale } = this.view();
    const canvas = this.map.getCanvas();
    const [wantedX, wantedY] = [x + (left - canvas.clientWidth / 2) / scale, y + (top - canvas.clientHeight / 2) / scale];
    let best: Kept | null = null;
    let bestDistance = reach;
    for (const vehicle of fleet.list) {
      if (this.hidden.has(vehicle.state)) continue;
      let distance = Math.hypot(vehicle.x - wantedX, vehicle.y - wantedY) * scale;
      if (vehicle.state === "alert") distance *= 0.6;
      if (distance < bestDistance) [best, bestDistance] = [vehicle, distance];
    }
    return best;
  }

  /** Where the middle is, in Mercator, and how many pixels the world is wide. */
  private view(): { x: number; y: number; scale: number } {
    const centre = this.map.getCenter();
    const [x, y] = mercator(centre.lat, centre.lng);
    return { x, y, scale: 512 * 2 ** this.map.getZoom() };
  }

  private upload(gl: WebGL2RenderingContext): void {
    const { list, changed } = fleet;
    const { scale } = this.view();
    if (list.length > this.capacity) {
      this.capacity = Math.max(1_024, 2 ** Math.ceil(Math.log2(list.length)));
      this.data = new Float32Array(this.capacity * STRIDE);
      gl.bufferData(gl.ARRAY_BUFFER, this.data.byteLength, gl.DYNAMIC_DRAW);
      fleet.isReordered = true;
    }
    // A buffer without room takes nothing, not even of length 0.
    if (list.length === 0) {
      changed.clear();
    } else if (fleet.isReordered || changed.size > MANY) {
      const all = fleet.isReordered ? list.keys() : changed.values();
      for (const index of all) this.write(index, scale);
      gl.bufferSubData(gl.ARRAY_BUFFER, 0, this.data, 0, list.length * STRIDE);
    } else {
      for (const index of changed) {
        this.write(index, scale);
        gl.bufferSubData(gl.ARRAY_BUFFER, index * STRIDE * 4, this.data, index * STRIDE, STRIDE);
      }
    }
    fleet.isReordered = false;
    changed.clear();
  }

  private write(index: number, scale: number): void {
    const vehicle = fleet.list[index];
    if (!vehicle) return;
    const { x, y, fromX, fromY, movedAt } = vehicle;
    const way = Math.hypot(x - fromX, y - fromY) * scale;
    const glides = !this.isStill && way > LEAST_GLIDE_PX && performance.now() - movedAt < GLIDE_S * 1_000;
    if (glides) this.animatesUntil = Math.max(this.animatesUntil, movedAt / 1_000 + GLIDE_S);
    const at = index * STRIDE;
    const data = this.data;
    const place = (offset: number, placeX: number, placeY: number) => {
      data[at + offset] = placeX;
      data[at + offset + 1] = placeY;
      data[at + offset + 2] = placeX - Math.fround(placeX);
      data[at + offset + 3] = placeY - Math.fround(placeY);
    };
    place(0, glides ? fromX : x, glides ? fromY : y);
    place(4, x, y);
    data[at + 8] = movedAt / 1_000;
    data[at + 9] = glides ? GLIDE_S : 0;
    data[at + 10] = kindOf(vehicle);
    data[at + 11] = ((vehicle.heading_deg ?? 0) * Math.PI) / 180;
    data[at + 12] = vehicle.heading_deg !== null && (vehicle.speed_km_per_h ?? 0) > 2 ? 1 : 0;
  }

  private hiddenKinds(): number {
    return KINDS.reduce((mask, kind, index) => (this.hidden.has(kind.state) ? mask | (1 << index) : mask), 0);
  }

  private uniform(gl: WebGL2RenderingContext, name: string): WebGLUniformLocation | null {
    let location = this.uniforms.get(name);
    if (location === undefined) {
      location = gl.getUniformLocation(this.program, name);
      this.uniforms.set(name, location);
    }
    return location;
  }
}

function kindOf(vehicle: Kept): number {
  return KINDS.findIndex((kind) => kind.state === vehicle.state && (kind.severity === null || kind.severity === vehicle.severity));
}

function link(gl: WebGL2RenderingContext, vertex: string, fragment: string): WebGLProgram {
  const program = gl.createProgram();
  for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]] as const) {
    const shader = gl.createShader(kind)!;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader) ?? "shader");
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) ?? "program");
  return program;
}
