// Painter: a figure in a pose, from any number of views, by WebGL 2. The definition is the engine's own renderer in Python
// (engines/relief/render.py, docs/geometry.md); tests hold this to it. Shares its context with others: it sets what it needs.

import { Atlas, plainTexture } from "./atlas.js";
import { markOf } from "./mark.js";
import { NotDrawable, program } from "./shaders.js";
import { CROP_SIDE, LOOK_AT_Z, matrixOf, spanOf } from "./views.js";

const SAMPLES = 4;
/** Pixels that are drawn with all their samples at once: 128 MB at four. */
const MOST_AT_ONCE = 4 << 20;

/** For a headset: pixels of a picture whose mark is shown, how many times as large, since headsets have few pixels for an angle, and how
 * far before the head's middle it floats, in the world's units. */
const [MARK_PIXELS, MARK_TIMES, BEFORE_IT] = [256, 2, 0.3];
const IN_CLIP_SPACE = new Float32Array([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);

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
uniform vec2 fade;  // of the tile: its lower edge, and the rows over which light goes; 0 for none
centroid in vec2 at;
centroid in float light;
out vec4 colour;
void main() {
  vec4 texel = textureLod(atlas, at, 0.0);
  if (firm != (texel.a > 127.5 / 255.0) || texel.a < 3.5 / 255.0) discard;
  float near = fade.y > 0.0 ? clamp(1.0 - (gl_FragCoord.y - fade.x) / fade.y, 0.0, 1.0) : 0.0;
  float gain = 1.0 - near * near * near;
  colour = vec4(min(texel.rgb * light, 1.0) * gain, texel.a >= 250.0 / 255.0 ? 1.0 : texel.a);
}`;

const MARK_VERTEX = `#version 300 es
uniform mat4 matrix;
uniform vec4 box;  // left, bottom, width, height
uniform float depth;
out vec2 at;
void main() {
  vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
  at = vec2(corner.x, 1.0 - corner.y);
  gl_Position = matrix * vec4(box.xy + corner * box.zw, depth, 1.0);
}`;

const MARK_FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D mark;
in vec2 at;
out vec4 colour;
void main() { colour = texture(mark, at).rrra; }`;

/** @typedef {{left: number, bottom: number, width: number, height: number, yaw: number}} View a tile in pixels, and its camera's yaw in radians */

export class Painter {
  #gl;
  #program;
  #marker;
  #figure = null;
  #atlas = null;
  #places = null;
  #indices = null;
  /** The pose that is come from, and the one that is gone to. @type {WebGLBuffer[]} */
  #poses = [];
  #order = null;
  #generation = -1;
  #marks = { key: "", texture: null, mark: null };
  #sheet = null;

  /** @param {WebGL2RenderingContext} gl @throws {NotDrawable} */
  constructor(gl) {
    this.#gl = gl;
    this.#program = program(gl, VERTEX, FRAGMENT);
    this.#marker = program(gl, MARK_VERTEX, MARK_FRAGMENT);
  }

  /** From now on what it is at its newest. @param {import("./actor.js").Actor} actor who has a figure */
  follow(actor) {
    if (actor.figure !== this.#figure) this.#enrol(actor.figure);
    if (actor.generation === this.#generation) return;
    this.#generation = actor.generation;
    this.pose(actor.before, actor.after);
  }

  /** @param {import("./figure.js").Pose} before that is come from @param {import("./figure.js").Pose} after that is gone to */
  pose(before, after) {
    const gl = this.#gl;
    for (const [at, pose] of [before, after].entries()) {
      gl.bindBuffer(gl.ARRAY_BUFFER, this.#poses[at]);
      gl.bufferSubData(gl.ARRAY_BUFFER, 0, pose);
    }
  }

  /** @param {import("./figure.js").Figure} figure */
  #enrol(figure) {
    const gl = this.#gl;
    this.#let();
    this.#figure = figure;
    this.#generation = -1;
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

  /**
   * Every view into the canvas, whose context has alpha and no antialiasing of its own.
   * @param {View[]} views @param {number} aspect of each view's picture @param {number} mixture 0: as before, 1: the newest pose
   */
  paint(views, aspect, mixture) {
    const gl = this.#gl;
    const [width, height] = [gl.drawingBufferWidth, gl.drawingBufferHeight];
    this.#drawn(width, height, views, aspect, mixture);
    gl.bindFramebuffer(gl.READ_FRAMEBUFFER, this.#sheet.drawn);
    gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, null);
    gl.blitFramebuffer(0, 0, width, height, 0, 0, width, height, gl.COLOR_BUFFER_BIT, gl.NEAREST);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  /**
   * Every view into a texture, some at a time so that no more memory is taken than MOST_AT_ONCE says.
   * @param {WebGLFramebuffer} quilt that holds the texture @param {View[]} views all of one size; bottom: rows of texels above them,
   *   since the picture's top row is the texture's first @param {number} aspect @param {number} mixture
   */
  paintInto(quilt, views, aspect, mixture) {
    const gl = this.#gl;
    const [{ width, height }] = views;
    const together = Math.min(views.length, Math.max(1, Math.floor(MOST_AT_ONCE / (width * height))));
    for (let first = 0; first < views.length; first += together) {
      const some = views.slice(first, first + together);
      const placed = some.map((view, at) => ({ ...view, left: at * width, bottom: 0 }));
      this.#drawn(width * together, height, placed, aspect, mixture);
      this.#settle();
      gl.bindFramebuffer(gl.READ_FRAMEBUFFER, this.#sheet.settled);
      gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, quilt);
      for (const [at, { left, bottom: top }] of some.entries()) {
        const [from, upsideDown] = [[at * width, 0, (at + 1) * width, height], [left, top + height, left + width, top]];
        gl.blitFramebuffer(...from, ...upsideDown, gl.COLOR_BUFFER_BIT, gl.NEAREST);
      }
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }

  /** What was drawn with several samples for a pixel becomes pixels that can be read. */
  #settle() {
    const gl = this.#gl;
    const { drawn, settled, width, height } = this.#sheet;
    gl.bindFramebuffer(gl.READ_FRAMEBUFFER, drawn);
    gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, settled);
    gl.blitFramebuffer(0, 0, width, height, 0, 0, width, height, gl.COLOR_BUFFER_BIT, gl.NEAREST);
  }

  #drawn(width, height, views, aspect, mixture) {
    const gl = this.#gl;
    const [{ width: across, height: down }] = views;
    const [spanX, spanY] = spanOf(aspect);
    const { crop, parallel } = this.#figure;
    const texture = this.#atlas.at(across / (crop * spanX), down / (crop * spanY));
    const mark = this.#markFor(across, down, aspect);
    if (this.#sheet?.width !== width || this.#sheet.height !== height) this.#spread(width, height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.#sheet.drawn);
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 1);
    gl.clearDepth(1);
    gl.depthMask(true);
    gl.disable(gl.SCISSOR_TEST);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    for (const view of views) this.#drawFigure(view, matrixOf(parallel, view.yaw, aspect), texture, this.#fadeOf(view, spanY), mixture);
    for (const view of views) this.#drawMark(view, IN_CLIP_SPACE, [-1, -1, 2, 2], 0, mark);
  }

  /**
   * What one eye sees, into the framebuffer that is bound; the mark floats before the figure, where it stands in a picture of the crop.
   * @param {{left: number, bottom: number, width: number, height: number}} view @param {Float32Array} matrix [16] from the world
   * @param {number} mixture
   */
  paintEye(view, matrix, mixture) {
    const across = (CROP_SIDE * Math.hypot(matrix[0], matrix[4], matrix[8]) * view.width) / 2 / Math.max(0.1, Math.abs(matrix[15]));
    const scale = 2 ** Math.round(Math.log2(Math.max(across, 64) / this.#figure.crop)); // in steps: it is made anew for each
    this.#drawFigure(view, matrix, this.#atlas.at(scale, scale), 0, mixture);
    const picture = [-CROP_SIDE / 2, -CROP_SIDE / 2, MARK_TIMES * CROP_SIDE, MARK_TIMES * CROP_SIDE];
    this.#drawMark(view, matrix, picture, LOOK_AT_Z + BEFORE_IT, this.#markFor(MARK_PIXELS, MARK_PIXELS, 1));
  }

  /** A picture that shows more than the crop needs no fade: the figure has its own. */
  #fadeOf({ height }, spanY) {
    const { fade } = this.#figure;
    return spanY <= 1 + fade ? (fade * height) / spanY : 0;
  }

  /**
   * Into the framebuffer that is bound, as far as its depth allows.
   * @param {{left: number, bottom: number, width: number, height: number}} view @param {Float32Array} matrix [16]
   * @param {WebGLTexture} texture @param {number} fade rows @param {number} mixture
   */
  #drawFigure(view, matrix, texture, fade, mixture) {
    const gl = this.#gl;
    const { handle, at } = this.#program;
    gl.useProgram(handle);
    gl.viewport(view.left, view.bottom, view.width, view.height);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.uniformMatrix4fv(at.matrix, false, matrix);
    gl.uniform1f(at.mixture, mixture);
    gl.uniform2f(at.fade, view.bottom, fade);
    gl.bindVertexArray(this.#order);
    gl.enable(gl.DEPTH_TEST);
    gl.depthFunc(gl.LESS);
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    gl.cullFace(gl.BACK);
    let first = 0;
    for (const { indices, culled } of this.#figure.parts) {
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

  /**
   * @param {{left: number, bottom: number, width: number, height: number}} view @param {Float32Array} matrix of the space in which
   *   @param {number[]} box left, bottom, width and height of the picture @param {number} depth and how deep it lies
   * @param {ReturnType<typeof markOf>|null} mark for a picture of so many pixels
   */
  #drawMark(view, matrix, [boxLeft, boxBottom, boxWidth, boxHeight], depth, mark) {
    if (!mark) return;
    const gl = this.#gl;
    const { at, handle } = this.#marker;
    const [x, y] = [boxWidth / mark.of[0], boxHeight / mark.of[1]];
    gl.viewport(view.left, view.bottom, view.width, view.height);
    gl.useProgram(handle);
    gl.bindTexture(gl.TEXTURE_2D, this.#marks.texture);
    gl.uniformMatrix4fv(at.matrix, false, matrix);
    gl.uniform4f(at.box, boxLeft + mark.left * x, boxBottom + boxHeight - (mark.top + mark.height) * y, mark.width * x, mark.height * y);
    gl.uniform1f(at.depth, depth);
    gl.enable(gl.BLEND);
    gl.blendFuncSeparate(gl.ONE, gl.SRC_ALPHA, gl.ZERO, gl.ONE); // under it times keep, and add
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
    gl.disable(gl.BLEND);
  }

  #markFor(width, height, aspect) {
    const gl = this.#gl;
    if (!this.#figure.mark) return null;
    const key = [width, height, aspect, this.#figure.mark.text].join();
    if (this.#marks.key === key) return this.#marks.mark;
    gl.deleteTexture(this.#marks.texture);
    const mark = markOf(width, height, aspect, this.#figure.mark);
    const pixels = new Uint8Array(4 * mark.keep.length);
    for (const [at, keep] of mark.keep.entries()) pixels.set([mark.add[at], 0, 0, Math.round((keep / 256) * 255)], 4 * at);
    const texture = plainTexture(gl);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, mark.width, mark.height, 0, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
    this.#marks = { key, texture, mark: { ...mark, of: [width, height] } };
    return this.#marks.mark;
  }

  /** A sheet of so many pixels to draw on. */
  #spread(width, height) {
    const gl = this.#gl;
    this.#unspread();
    const samples = Math.min(SAMPLES, gl.getParameter(gl.MAX_SAMPLES));
    const stored = (format, several) => {
      const buffer = gl.createRenderbuffer();
      gl.bindRenderbuffer(gl.RENDERBUFFER, buffer);
      gl.renderbufferStorageMultisample(gl.RENDERBUFFER, several, format, width, height);
      return buffer;
    };
    const [colours, depths, pixels] = [stored(gl.RGBA8, samples), stored(gl.DEPTH_COMPONENT24, samples), stored(gl.RGBA8, 0)];
    const [drawn, settled] = [gl.createFramebuffer(), gl.createFramebuffer()];
    gl.bindFramebuffer(gl.FRAMEBUFFER, settled);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.RENDERBUFFER, pixels);
    gl.bindFramebuffer(gl.FRAMEBUFFER, drawn);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.RENDERBUFFER, colours);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.RENDERBUFFER, depths);
    this.#sheet = { width, height, drawn, settled, buffers: [colours, depths, pixels] };
    const whole = gl.checkFramebufferStatus(gl.FRAMEBUFFER) === gl.FRAMEBUFFER_COMPLETE;
    if (!whole && !gl.isContextLost()) throw new NotDrawable("it has no room for the picture");
  }

  #unspread() {
    const gl = this.#gl;
    if (!this.#sheet) return;
    for (const buffer of this.#sheet.buffers) gl.deleteRenderbuffer(buffer);
    for (const frame of [this.#sheet.drawn, this.#sheet.settled]) gl.deleteFramebuffer(frame);
    this.#sheet = null;
  }

  /** Lets go of the figure. */
  #let() {
    const gl = this.#gl;
    this.#atlas?.free();
    gl.deleteVertexArray(this.#order);
    for (const buffer of [this.#places, this.#indices, ...this.#poses]) gl.deleteBuffer(buffer);
    this.#figure = null;
  }
}

/** @param {WebGL2RenderingContext} gl @param {number} kind @param {ArrayBufferView} values */
function filled(gl, kind, values, use = gl.STATIC_DRAW) {
  const buffer = gl.createBuffer();
  gl.bindBuffer(kind, buffer);
  gl.bufferData(kind, values, use);
  return buffer;
}
