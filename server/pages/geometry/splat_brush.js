// Splat brush: Gaussians, as a painter has them drawn: each a quad as large as its ellipse, from the furthest to the nearest. The
// definition is docs/geometry.md, Drawing; what order they have is found in another thread, so that a picture may be one behind.

import { ACROSS, rowsOf } from "./arrangement.js";
import { Arranger } from "./arranger.js";
import { MATRIX } from "./cloud.js";
import { LOWER_EDGE, program } from "./shaders.js";
import { times } from "./views.js";

/** Texels of what never moves of one. */
const TEXELS = 3;

const VERTEX = `#version 300 es
precision highp float;
precision highp int;
layout(location = 0) in uint which;
uniform sampler2D places;  // middles
uniform sampler2D shapes;  // of each three texels: xx xy xz yy, yz zz, colour and opacity
uniform mat4 matrix;
uniform vec2 halves;  // of the tile, in pixels
out vec2 at;  // in standard deviations along the ellipse's axes
out vec4 paint;
void main() {
  ivec2 texel = ivec2(int(which) % ${ACROSS}, int(which) / ${ACROSS});
  vec4 a = texelFetch(shapes, ivec2(${TEXELS} * texel.x, texel.y), 0), b = texelFetch(shapes, ivec2(${TEXELS} * texel.x + 1, texel.y), 0);
  paint = texelFetch(shapes, ivec2(${TEXELS} * texel.x + 2, texel.y), 0);
  mat3 shape = mat3(a.x, a.y, a.z, a.y, a.w, b.x, a.z, b.x, b.y);
  vec4 clip = matrix * vec4(texelFetch(places, texel, 0).xyz, 1.0);
  vec2 seen = clip.xy / clip.w, held = clamp(seen, -1.3, 1.3);
  mat4 rows = transpose(matrix);
  vec3 x = halves.x * (rows[0].xyz - held.x * rows[3].xyz) / clip.w;  // pixels for a step in the world
  vec3 y = halves.y * (rows[1].xyz - held.y * rows[3].xyz) / clip.w;
  float xx = dot(x, shape * x) + 0.3, xy = dot(x, shape * y), yy = dot(y, shape * y) + 0.3;
  float mean = 0.5 * (xx + yy), apart = length(vec2(0.5 * (xx - yy), xy));
  vec2 axis = apart < 1e-6 * mean ? vec2(1.0, 0.0) : normalize(xx > yy ? vec2(mean + apart - yy, xy) : vec2(xy, mean + apart - xx));
  at = sqrt(2.0 * log(max(255.0 * paint.a, 1.0))) * (2.0 * vec2(gl_VertexID & 1, gl_VertexID >> 1) - 1.0);
  vec2 off = at.x * sqrt(mean + apart) * axis + at.y * sqrt(max(mean - apart, 0.0)) * vec2(-axis.y, axis.x);
  gl_Position = vec4(seen + off / halves, 0.0, clip.w > 0.05 ? 1.0 : -1.0);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
in vec2 at;
in vec4 paint;
${LOWER_EDGE}
out vec4 colour;
void main() {
  float alpha = min(paint.a * exp(-0.5 * dot(at, at)), 0.999);
  if (alpha < 1.0 / 255.0) discard;
  colour = vec4(paint.rgb * gain(), 1.0) * alpha;
}`;

/** @typedef {import("./painter.js").Look} Look */

export class SplatBrush {
  /** What it is drawn on: it has no edges, and bytes are too coarse to sum up so many layers. */
  sheet = { samples: 0, depth: false, precise: true };
  #gl;
  #cloud;
  #program;
  #arranger;
  #places;
  #shapes;
  #orders;
  /** @type {Float32Array[]} */
  #poses;
  /** What is on the graphics card: how many arrangements had come, its matrix, and the direction of each order. */
  #drawn = { arrived: 0, matrix: null, directions: null };

  /** @param {WebGL2RenderingContext} gl @param {import("./cloud.js").Cloud} cloud @throws {import("./shaders.js").NotDrawable} */
  constructor(gl, cloud) {
    this.#gl = gl;
    this.#cloud = cloud;
    this.#program = program(gl, VERTEX, FRAGMENT);
    this.#poses = [cloud.atRest(), cloud.atRest()];
    const rows = rowsOf(cloud.count);
    this.#places = numbersTexture(gl, ACROSS, rows, null);
    this.#shapes = numbersTexture(gl, TEXELS * ACROSS, rows, shapesOf(cloud));
    this.#orders = gl.createBuffer();
    this.#arranger = new Arranger(cloud);
  }

  /** How many arrangements have come: what was painted before shows an older one. */
  get arrived() {
    return this.#arranger.arrived;
  }

  /** Whether another one is under way. */
  get busy() {
    return this.#arranger.busy;
  }

  /** @param {import("./figure.js").Pose} before that is come from @param {import("./figure.js").Pose} after that is gone to */
  pose(before, after) {
    this.#poses = [before, after];
  }

  /** Before looks are drawn. @param {Look[]} looks @param {[number, number]} crops @param {number} mixture */
  prepare(looks, crops, mixture) {
    const [before, after] = this.#poses;
    const pose = before.map((number, at) => number + (after[at] - number) * mixture);
    const matrix = matrixOf(pose);
    const directions = new Float32Array(looks.flatMap((look) => directionOf(times(look.matrix, matrix))));
    this.#arranger.want(pose, directions);
    if (this.#arranger.arrived !== this.#drawn.arrived) this.#upload();
  }

  #upload() {
    const gl = this.#gl;
    const { pose, directions, places, orders } = this.#arranger.newest;
    gl.bindTexture(gl.TEXTURE_2D, this.#places);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, ACROSS, rowsOf(this.#cloud.count), gl.RGBA, gl.FLOAT, places);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#orders);
    gl.bufferData(gl.ARRAY_BUFFER, orders, gl.STREAM_DRAW);
    this.#arranger.reuse(places, orders);
    this.#drawn = { arrived: this.#arranger.arrived, matrix: matrixOf(pose), directions };
  }

  /** Into the framebuffer that is bound. Its order is that of the nearest direction there is. @param {Look} look @param {number} fade rows */
  draw(look, fade) {
    if (!this.#drawn.matrix) return;
    const gl = this.#gl;
    const { handle, at } = this.#program;
    const matrix = times(look.matrix, this.#drawn.matrix);
    gl.useProgram(handle);
    gl.viewport(look.left, look.bottom, look.width, look.height);
    for (const [unit, name, texture] of [[1, "shapes", this.#shapes], [0, "places", this.#places]]) {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D, texture);
      gl.uniform1i(at[name], unit);
    }
    gl.uniformMatrix4fv(at.matrix, false, matrix);
    gl.uniform2f(at.halves, look.width / 2, look.height / 2);
    gl.uniform2f(at.fade, look.bottom, fade);
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#orders);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribIPointer(0, 1, gl.UNSIGNED_INT, 0, 4 * this.#cloud.count * nearest(this.#drawn.directions, directionOf(matrix)));
    gl.vertexAttribDivisor(0, 1);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.CULL_FACE);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, this.#cloud.count);
    gl.disable(gl.BLEND);
    gl.vertexAttribDivisor(0, 0);
    gl.disableVertexAttribArray(0);
  }

  free() {
    const gl = this.#gl;
    this.#arranger.end();
    gl.deleteProgram(this.#program.handle);
    for (const texture of [this.#places, this.#shapes]) gl.deleteTexture(texture);
    gl.deleteBuffer(this.#orders);
  }
}

/** A texture of rows of four floats. @param {WebGL2RenderingContext} gl @param {Float32Array|null} numbers */
function numbersTexture(gl, width, height, numbers) {
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, width, height, 0, gl.RGBA, gl.FLOAT, numbers);
  return texture;
}

/** @param {import("./cloud.js").Cloud} cloud */
function shapesOf(cloud) {
  const numbers = new Float32Array(4 * TEXELS * ACROSS * rowsOf(cloud.count));
  for (let one = 0; one < cloud.count; one += 1) numbers.set([...cloud.covariance(one), 0, 0, ...cloud.colour(one), cloud.opacities[one]], 4 * TEXELS * one);
  return numbers;
}

/** By columns, of a pose's last numbers, which are rows. @param {Float32Array} pose */
function matrixOf(pose) {
  const m = pose.subarray(pose.length - MATRIX);
  return new Float32Array([0, 1, 2, 3].flatMap((column) => [m[column], m[4 + column], m[8 + column], column === 3 ? 1 : 0]));
}

/** Into the picture. @param {Float32Array} matrix [16] to clip space */
const directionOf = (matrix) => [matrix[2], matrix[6], matrix[10]];

/** Which of some directions [V, 3] is nearest. @param {Float32Array} directions @param {number[]} direction */
function nearest(directions, [x, y, z]) {
  let [best, least] = [0, Infinity];
  for (let at = 0; 3 * at < directions.length; at += 1) {
    const apart = Math.hypot(directions[3 * at] - x, directions[3 * at + 1] - y, directions[3 * at + 2] - z);
    if (apart < least) [best, least] = [at, apart];
  }
  return best;
}
