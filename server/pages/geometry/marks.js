// Marks: the visible watermark on the graphics card: laid over a view, or floating before a figure. mark.js has its pixels.

import { plainTexture } from "./atlas.js";
import { markOf } from "./mark.js";
import { program } from "./shaders.js";

const VERTEX = `#version 300 es
uniform mat4 matrix;
uniform vec4 box;  // left, bottom, width, height
uniform float depth;
out vec2 at;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  at = vec2(corner.x, 1.0 - corner.y);
  gl_Position = matrix * vec4(box.xy + corner * box.zw, depth, 1.0);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D mark;
in vec2 at;
out vec4 colour;
void main() { colour = texture(mark, at).rrra; }`;

/** @typedef {import("./figure.js").MarkPlan} Plan */

export class Marks {
  #gl;
  #program;
  /** One is shown at a time. */
  #made = { key: "", texture: null, mark: null };

  /** @param {WebGL2RenderingContext} gl @throws {import("./shaders.js").NotDrawable} */
  constructor(gl) {
    this.#gl = gl;
    this.#program = program(gl, VERTEX, FRAGMENT);
  }

  /**
   * @param {{left: number, bottom: number, width: number, height: number}} view @param {Float32Array} matrix of the space in which
   * @param {number[]} box left, bottom, width and height of the picture @param {number} depth and how deep it lies
   * @param {Plan|null} plan @param {[number, number, number]} picture pixels across and down, and its aspect
   */
  draw(view, matrix, [boxLeft, boxBottom, boxWidth, boxHeight], depth, plan, [width, height, aspect]) {
    if (!plan) return;
    const gl = this.#gl;
    const mark = this.#for(width, height, aspect, plan);
    const { at, handle } = this.#program;
    const [x, y] = [boxWidth / width, boxHeight / height];
    gl.viewport(view.left, view.bottom, view.width, view.height);
    gl.useProgram(handle);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.#made.texture);
    gl.uniformMatrix4fv(at.matrix, false, matrix);
    gl.uniform4f(at.box, boxLeft + mark.left * x, boxBottom + boxHeight - (mark.top + mark.height) * y, mark.width * x, mark.height * y);
    gl.uniform1f(at.depth, depth);
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.ONE, gl.SRC_ALPHA, gl.ZERO, gl.ONE); // under it times keep, and add
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    gl.disable(gl.BLEND);
  }

  free() {
    this.#gl.deleteTexture(this.#made.texture);
    this.#gl.deleteProgram(this.#program.handle);
  }

  #for(width, height, aspect, plan) {
    const gl = this.#gl;
    const key = [width, height, aspect, plan.text].join();
    if (this.#made.key === key) return this.#made.mark;
    gl.deleteTexture(this.#made.texture);
    const mark = markOf(width, height, aspect, plan);
    const pixels = new Uint8Array(4 * mark.keep.length);
    for (const [at, keep] of mark.keep.entries()) pixels.set([mark.add[at], 0, 0, Math.round((keep / 256) * 255)], 4 * at);
    const texture = plainTexture(gl);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, mark.width, mark.height, 0, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    this.#made = { key, texture, mark };
    return mark;
  }
}
