// Mesh brush: triangles with a texture, as a painter has them drawn. The definition is docs/geometry.md, Drawing, and the engine's own
// renderer in Python (engines/relief/render.py).

import { Atlas } from "./atlas.js";
import { filled } from "./buffers.js";
import { LOWER_EDGE, program } from "./shaders.js";

const VERTEX = `#version 300 es
layout(location = 0) in vec4 before;  // x, y, z, light
layout(location = 1) in vec4 after;
layout(location = 2) in vec2 place;
uniform mat4 matrix;
uniform float mixture;
centroid out vec2 at;
centroid out float light;
void main() {
  vec4 point = mix(before, after, mixture);
  at = place;
  light = point.w;
  gl_Position = matrix * vec4(point.xyz, 1.0);
}`;

// What hides least is drawn last, and hides nothing behind it: half a pixel of hair must not cut off what is drawn after it.
const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D atlas;
uniform bool firm;
${LOWER_EDGE}
centroid in vec2 at;
centroid in float light;
out vec4 colour;
void main() {
  vec4 texel = textureLod(atlas, at, 0.0);
  if (firm != (texel.a > 127.5 / 255.0) || texel.a < 3.5 / 255.0) discard;
  colour = vec4(min(texel.rgb * light, 1.0) * gain(), texel.a >= 250.0 / 255.0 ? 1.0 : texel.a);
}`;

/** @typedef {import("./painter.js").Look} Look */

export class MeshBrush {
  /** What it is drawn on: its edges are antialiased. */
  sheet = { samples: 4, depth: true, precise: false };
  /** Nothing is found out elsewhere. */
  arrived = 0;
  busy = false;
  #gl;
  #program;
  #parts;
  #crop;
  #atlas;
  #texture = null;
  #mixture = 1;
  /** The pose that is come from, and the one that is gone to. @type {WebGLBuffer[]} */
  #poses;
  #places;
  #indices;
  #order;

  /** @param {WebGL2RenderingContext} gl @param {import("./mesh.js").Mesh} figure @throws {import("./shaders.js").NotDrawable} */
  constructor(gl, figure) {
    this.#gl = gl;
    this.#program = program(gl, VERTEX, FRAGMENT);
    this.#parts = figure.parts;
    this.#crop = figure.crop;
    this.#atlas = new Atlas(gl, figure.atlas, figure.largest);
    this.#places = filled(gl, gl.ARRAY_BUFFER, figure.places);
    this.#poses = [0, 1].map(() => filled(gl, gl.ARRAY_BUFFER, figure.atRest(), gl.DYNAMIC_DRAW));
    this.#order = gl.createVertexArray();
    gl.bindVertexArray(this.#order);
    for (const [at, buffer, size] of [[0, this.#poses[0], 4], [1, this.#poses[1], 4], [2, this.#places, 2]]) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, size, gl.FLOAT, false, 0, 0);
    }
    const every = new Uint32Array(figure.parts.reduce((sum, part) => sum + part.indices.length, 0));
    figure.parts.reduce((at, part) => (every.set(part.indices, at), at + part.indices.length), 0);
    this.#indices = filled(gl, gl.ELEMENT_ARRAY_BUFFER, every);
    gl.bindVertexArray(null);
  }

  /** @param {import("./figure.js").Pose} before that is come from @param {import("./figure.js").Pose} after that is gone to */
  pose(before, after) {
    const gl = this.#gl;
    for (const [at, pose] of [before, after].entries()) {
      gl.bindBuffer(gl.ARRAY_BUFFER, this.#poses[at]);
      gl.bufferSubData(gl.ARRAY_BUFFER, 0, pose);
    }
  }

  /** Before looks are drawn. @param {Look[]} looks @param {[number, number]} crops pixels of them for the crop's sides @param {number} mixture */
  prepare(looks, [across, down], mixture) {
    this.#texture = this.#atlas.at(across / this.#crop, down / this.#crop);
    this.#mixture = mixture;
  }

  /** Into the framebuffer that is bound, as far as its depth allows. @param {Look} look @param {number} fade rows */
  draw(look, fade) {
    const gl = this.#gl;
    const { handle, at } = this.#program;
    gl.useProgram(handle);
    gl.viewport(look.left, look.bottom, look.width, look.height);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.#texture);
    gl.uniform1i(at.atlas, 0);
    gl.uniformMatrix4fv(at.matrix, false, look.matrix);
    gl.uniform1f(at.mixture, this.#mixture);
    gl.uniform2f(at.fade, look.bottom, fade);
    gl.bindVertexArray(this.#order);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LESS);
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.cullFace(gl.BACK);
    let first = 0;
    for (const { indices, culled } of this.#parts) {
      (culled ? gl.enable : gl.disable).call(gl, gl.CULL_FACE);
      for (const firm of [true, false]) {
        gl.uniform1i(at.firm, Number(firm));
        gl.depthMask(firm);
        gl.drawElements(gl.TRIANGLES, indices.length, gl.UNSIGNED_INT, 4 * first);
      }
      first += indices.length;
    }
    gl.bindVertexArray(null);
    gl.depthMask(true);
    gl.disable(gl.CULL_FACE);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.BLEND);
  }

  free() {
    const gl = this.#gl;
    this.#atlas.free();
    gl.deleteProgram(this.#program.handle);
    gl.deleteVertexArray(this.#order);
    for (const buffer of [this.#places, this.#indices, ...this.#poses]) gl.deleteBuffer(buffer);
  }
}
