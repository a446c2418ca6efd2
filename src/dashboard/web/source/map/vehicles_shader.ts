/** The shapes of vehicles on the map, as distances: sharp at every size. State is told by shape as well as by colour. */
import type { Severity, State } from "../live/forms";

/** In the order of the numbers that the shaders know. */
export const KINDS: readonly { state: State; severity: Severity | null }[] = [
  { state: "offline", severity: null },
  { state: "stale", severity: null },
  { state: "parked", severity: null },
  { state: "ok", severity: null },
  { state: "alert", severity: "info" },
  { state: "alert", severity: "warning" },
  { state: "alert", severity: "critical" },
];

export const vertexShader = `#version 300 es
precision highp float;
in vec4 a_from;
in vec4 a_to;
in float a_moved_at;
in float a_glides;
in float a_kind;
in float a_heading;
in float a_moves;
uniform vec4 u_centre;
uniform vec2 u_scale;
uniform float u_now;
uniform float u_pixels;
uniform float u_zoom;
uniform float u_dense;
uniform int u_hidden;
uniform int u_pass;
uniform vec3 u_colours[7];
out vec3 v_colour;
out float v_size;
flat out int v_kind;
flat out int v_moves;
flat out vec2 v_turn;

// Both halves of each place, so that a metre is a metre anywhere on Earth.
vec2 offset(vec4 place) {
  vec2 away = (place.xy - u_centre.xy) + (place.zw - u_centre.zw);
  away.x -= round(away.x);
  return away;
}

void main() {
  int kind = int(a_kind + 0.5);
  int pass = kind < 3 ? 0 : kind == 3 ? 1 : 2;
  bool isHidden = (u_hidden & (1 << kind)) != 0 || (u_pass != 3 && u_pass != pass) || a_to.x != a_to.x;
  float along = a_glides > 0.0 ? clamp((u_now - a_moved_at) / a_glides, 0.0, 1.0) : 1.0;
  along = along * along * (3.0 - 2.0 * along);
  vec2 place = mix(offset(a_from), offset(a_to), along) * u_scale;
  gl_Position = isHidden ? vec4(2.0, 2.0, 2.0, 1.0) : vec4(place, 0.0, 1.0);
  float grown = smoothstep(5.0, 15.0, u_zoom);
  float size = mix(mix(6.5, 3.6, u_dense), 17.0, grown);
  if (kind < 3) size *= 0.82;
  if (kind > 3) size = max(size * 1.25, 13.0);
  if (u_pass == 3) size = max(size, 12.0) + 16.0;
  v_size = size * u_pixels;
  gl_PointSize = v_size;
  v_kind = u_pass == 3 ? 7 : kind;
  v_colour = u_colours[kind];
  v_moves = a_moves > 0.5 && u_zoom > 9.0 ? 1 : 0;
  v_turn = vec2(sin(a_heading), cos(a_heading));
}`;

export const fragmentShader = `#version 300 es
precision highp float;
in vec3 v_colour;
in float v_size;
flat in int v_kind;
flat in int v_moves;
flat in vec2 v_turn;
uniform vec3 u_halo;
uniform vec3 u_accent;
out vec4 colour;

float triangle(vec2 p, float r) {
  p.y -= r * 0.18;
  const float k = 1.7320508;
  p.y = -p.y;
  p.x = abs(p.x) - r;
  p.y = p.y + r / k;
  if (p.x + k * p.y > 0.0) p = vec2(p.x - k * p.y, -k * p.x - p.y) / 2.0;
  p.x -= clamp(p.x, -2.0 * r, 0.0);
  return -length(p) * sign(p.y);
}

// Points up: a drop whose tip shows the way.
float drop(vec2 p) {
  float round_part = length(p - vec2(0.0, 0.1)) - 0.56;
  vec2 q = vec2(abs(p.x), -p.y);
  vec2 normal = normalize(vec2(0.86, 0.5));
  float tip = dot(q - vec2(0.0, 0.92), normal);
  return min(round_part, max(tip, -(q.y + 0.05)));
}

float cross_shape(vec2 p) {
  p = abs(vec2(p.x + p.y, p.x - p.y) * 0.70710678);
  if (p.y > p.x) p = p.yx;
  vec2 q = p - vec2(0.78, 0.17);
  return length(max(q, 0.0)) + min(max(q.x, q.y), 0.0);
}

void main() {
  vec2 p = gl_PointCoord * 2.0 - 1.0;
  float unit = 2.0 / v_size;
  float d;
  float hollow = 0.0;
  if (v_kind == 7) {
    d = abs(length(p) - 0.86) - 0.08;
    float ink = clamp(0.5 - d / unit, 0.0, 1.0);
    float halo = clamp(0.5 - (d - 2.2 * unit) / unit, 0.0, 1.0) * 0.9;
    colour = vec4(mix(u_halo, u_accent, ink), 1.0) * max(ink, halo);
    return;
  }
  if (v_kind == 0) d = cross_shape(p);
  else if (v_kind == 1) { d = length(p) - 0.74; hollow = 0.26; }
  else if (v_kind == 2) { vec2 q = abs(p) - 0.5; d = length(max(q, 0.0)) + min(max(q.x, q.y), 0.0) - 0.12; hollow = 0.3; }
  else if (v_kind == 3) {
    vec2 turned = vec2(p.x * v_turn.y + p.y * v_turn.x, -p.x * v_turn.x + p.y * v_turn.y);
    d = v_moves == 1 ? drop(turned) : length(p) - 0.62;
  }
  else if (v_kind == 4) d = length(p) - 0.7;
  else if (v_kind == 5) d = triangle(p, 0.72) - 0.06;
  else d = (abs(p.x) + abs(p.y) - 0.86) * 0.70710678;
  float rim = v_kind >= 4 ? 2.2 : 1.3;
  float ink = clamp(0.5 - d / unit, 0.0, 1.0);
  float halo = clamp(0.5 - (d - rim * unit) / unit, 0.0, 1.0);
  // Hollow: seen and not in use. What is inside stays dim.
  float inside = hollow > 0.0 ? clamp(0.5 - (d + hollow) / unit, 0.0, 1.0) : 0.0;
  vec3 paint = mix(u_halo, v_colour, ink * (1.0 - inside * 0.78));
  // A mark of its own in the most severe, for eyes that see no red.
  if (v_kind == 6) {
    float bar = max(abs(p.x) - 0.085, abs(p.y + 0.1) - 0.27);
    float dot_mark = length(p - vec2(0.0, 0.38)) - 0.1;
    paint = mix(paint, u_halo, clamp(0.5 - min(bar, dot_mark) / unit, 0.0, 1.0));
  }
  float alpha = max(ink, halo * 0.85);
  colour = vec4(paint, 1.0) * alpha;
}`;
