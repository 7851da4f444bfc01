// Painter: a figure in a pose, from any number of views, by WebGL 2: cameras, tiles, the mark, and memory to draw on, whatever the figure
// is made of; a brush knows that. docs/geometry.md defines the pictures; tests hold this to the engines' own renderers in Python.
// Shares its context with others: it sets what it needs.

import { Cloud } from "./cloud.js";
import { Marks } from "./marks.js";
import { MeshBrush } from "./mesh_brush.js";
import { NotDrawable } from "./shaders.js";
import { SplatBrush } from "./splat_brush.js";
import { CROP_SIDE, LOOK_AT_Z, matrixOf, spanOf } from "./views.js";

/** Pixels that are drawn with all their samples at once: 128 MB at four. */
const MOST_AT_ONCE = 4 << 20;

/** For a headset: pixels of a picture whose mark is shown, how many times as large, since headsets have few pixels for an angle, and how
 * far before the head's middle it floats, in the world's units. */
const [MARK_PIXELS, MARK_TIMES, BEFORE_IT] = [256, 2, 0.3];
const IN_CLIP_SPACE = new Float32Array([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);

/**
 * @typedef {{left: number, bottom: number, width: number, height: number}} Box in pixels
 * @typedef {Box & {yaw: number}} View a tile, and its camera's yaw in radians
 * @typedef {Box & {matrix: Float32Array}} Look a tile, and what brings the world to its clip space [16]
 */

export class Painter {
  #gl;
  #marks;
  #figure = null;
  /** What draws the figure. @type {MeshBrush|SplatBrush|null} */
  #brush = null;
  #generation = -1;
  #sheet = null;

  /** @param {WebGL2RenderingContext} gl @throws {NotDrawable} */
  constructor(gl) {
    this.#gl = gl;
    this.#marks = new Marks(gl);
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
    this.#brush.pose(before, after);
  }

  /** Counts what was found out meanwhile, elsewhere, about how it is to be painted: it is painted anew for that. */
  get arrived() {
    return this.#brush?.arrived ?? 0;
  }

  /** Whether something more of that is under way. */
  get busy() {
    return this.#brush?.busy ?? false;
  }

  /** Whether there is something to be seen in what is painted by now. */
  get whole() {
    return this.arrived > 0 || !this.busy;
  }

  /** @param {import("./figure.js").Figure} figure */
  #enrol(figure) {
    this.#brush?.free();
    this.#unspread();
    this.#brush = figure instanceof Cloud ? new SplatBrush(this.#gl, figure) : new MeshBrush(this.#gl, /** @type {any} */ (figure));
    this.#figure = figure;
    this.#generation = -1;
  }

  /**
   * Every view into the canvas, whose context has alpha and no antialiasing of its own.
   * @param {View[]} views @param {number} aspect of each view's picture @param {number} mixture 0: as before, 1: the newest pose
   * @param {[number, number]} [size] pixels of its lower left corner; all of it if left out
   */
  paint(views, aspect, mixture, size) {
    const gl = this.#gl;
    const [width, height] = size ?? [gl.drawingBufferWidth, gl.drawingBufferHeight];
    this.#drawn(width, height, this.#looks(views, aspect, mixture), aspect);
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
    const looks = this.#looks(views, aspect, mixture);
    const together = Math.min(views.length, Math.max(1, Math.floor(MOST_AT_ONCE / (width * height))));
    for (let first = 0; first < looks.length; first += together) {
      const some = looks.slice(first, first + together);
      const placed = some.map((look, at) => ({ ...look, left: at * width, bottom: 0 }));
      this.#drawn(width * together, height, placed, aspect);
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
    if (settled === drawn) return;
    gl.bindFramebuffer(gl.READ_FRAMEBUFFER, drawn);
    gl.bindFramebuffer(gl.DRAW_FRAMEBUFFER, settled);
    gl.blitFramebuffer(0, 0, width, height, 0, 0, width, height, gl.COLOR_BUFFER_BIT, gl.NEAREST);
  }

  /** @param {View[]} views of one size @returns {Look[]} for which the brush is ready */
  #looks(views, aspect, mixture) {
    const [{ width, height }] = views;
    const [spanX, spanY] = spanOf(aspect);
    const looks = views.map((view) => ({ ...view, matrix: matrixOf(this.#figure.parallel, view.yaw, aspect) }));
    this.#brush.prepare(looks, [width / spanX, height / spanY], mixture);
    return looks;
  }

  #drawn(width, height, looks, aspect) {
    const gl = this.#gl;
    if (this.#sheet?.width !== width || this.#sheet.height !== height) this.#spread(width, height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.#sheet.drawn);
    gl.viewport(0, 0, width, height);
    gl.clearColor(0, 0, 0, 1);
    gl.clearDepth(1);
    gl.depthMask(true);
    gl.disable(gl.SCISSOR_TEST);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    for (const look of looks) this.#brush.draw(look, this.#fadeOf(look, aspect));
    const [{ width: across, height: down }] = looks;
    for (const look of looks) this.#marks.draw(look, IN_CLIP_SPACE, [-1, -1, 2, 2], 0, this.#figure.mark, [across, down, aspect]);
  }

  /**
   * What eyes see, into the framebuffer that is bound; the mark floats before the figure, where it stands in a picture of the crop.
   * @param {Look[]} looks @param {number} mixture
   */
  paintEyes(looks, mixture) {
    const [{ matrix, width }] = looks;
    const across = (CROP_SIDE * Math.hypot(matrix[0], matrix[4], matrix[8]) * width) / 2 / Math.max(0.1, Math.abs(matrix[15]));
    const steps = 2 ** Math.round(Math.log2(Math.max(across, 64))); // textures are made anew for each
    this.#brush.prepare(looks, [steps, steps], mixture);
    const picture = [-CROP_SIDE / 2, -CROP_SIDE / 2, MARK_TIMES * CROP_SIDE, MARK_TIMES * CROP_SIDE];
    for (const look of looks) {
      this.#brush.draw(look, 0);
      this.#marks.draw(look, look.matrix, picture, LOOK_AT_Z + BEFORE_IT, this.#figure.mark, [MARK_PIXELS, MARK_PIXELS, 1]);
    }
  }

  /** A picture that shows more than the crop needs no fade: the figure has its own. @param {Look} look @param {number} aspect */
  #fadeOf({ height }, aspect) {
    const { fade } = this.#figure;
    const [, spanY] = spanOf(aspect);
    return spanY <= 1 + fade ? (fade * height) / spanY : 0;
  }

  /** A sheet of so many pixels to draw on. */
  #spread(width, height) {
    const gl = this.#gl;
    this.#unspread();
    const { samples: wanted, depth, precise } = this.#brush.sheet;
    const samples = Math.min(wanted, gl.getParameter(gl.MAX_SAMPLES));
    const floats = precise && (gl.getExtension("EXT_color_buffer_float") || gl.getExtension("EXT_color_buffer_half_float"));
    const format = floats ? gl.RGBA16F : gl.RGBA8;
    const buffers = [];
    const stored = (target, kind, several) => {
      const buffer = gl.createRenderbuffer();
      gl.bindRenderbuffer(gl.RENDERBUFFER, buffer);
      gl.renderbufferStorageMultisample(gl.RENDERBUFFER, several, kind, width, height);
      gl.framebufferRenderbuffer(gl.FRAMEBUFFER, target, gl.RENDERBUFFER, buffer);
      buffers.push(buffer);
    };
    const frame = () => {
      const made = gl.createFramebuffer();
      gl.bindFramebuffer(gl.FRAMEBUFFER, made);
      return made;
    };
    const settled = samples > 0 ? frame() : null;
    if (settled) stored(gl.COLOR_ATTACHMENT0, format, 0);
    const drawn = frame();
    stored(gl.COLOR_ATTACHMENT0, format, samples);
    if (depth) stored(gl.DEPTH_ATTACHMENT, gl.DEPTH_COMPONENT24, samples);
    this.#sheet = { width, height, drawn, settled: settled ?? drawn, buffers };
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

  /** Gives everything back; it paints no more. */
  free() {
    this.#brush?.free();
    this.#brush = null;
    this.#marks.free();
    this.#unspread();
  }
}
