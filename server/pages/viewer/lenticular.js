// From a quilt to the panel of a Looking Glass, with the server's own shader: display/lenticular.frag, and its numbers from the
// twin of display/lenticular.py's uniforms(). Knows nothing of windows or screens.

import { plainTexture } from "../geometry/atlas.js";
import { Painter } from "../geometry/painter.js";
import { even } from "../shared/tiling.js";

/** Focal length over width of the square crop's camera: display/optics.py, whose cameras hold it as a float. */
const FOCAL = 1 / (Math.tan((18.837 * 3.14159) / 360) * 1.414);
const NARROWEST_SHARE = 0.75;
const COARSE_BITS = 10;
/** By CellPatternMode (a, b, m): pixel (x, y), y up, has cell (a x + b y) modulo m. The vendor's table. */
const PATTERNS = [[0, 0, 1], [1, 1, 2], [1, 0, 2], [2, 1, 4], [0, 1, 2]];
const SHADERS = ["lenticular.vert", "lenticular.frag"];
const HIGHP_BITS = 23;

/**
 * What the shader takes: two views blended, the whole quilt shown, its depth and focus as they are.
 * @param {import("../shared/tiling.js").Tiling} tiling
 * @param {import("./calibration.js").Calibration} calibration
 * @returns {Record<string, number[]>}
 */
export function uniforms(tiling, calibration) {
  const { width, height, lensPitch, tilt, cells } = calibration;
  const perPixel = [lensPitch / width, (tilt * lensPitch) / height];
  const coarse = perPixel.map(rounded);
  const [tileWidth, tileHeight] = [Math.floor(tiling.width / tiling.columns), Math.floor(tiling.height / tiling.rows)];
  const wider = calibration.aspect / tiling.aspect;
  return {
    corner: [0, 0],
    panel: [width, height],
    coarse,
    fine: perPixel.map((exact, at) => exact - coarse[at]),
    pattern: cells.length ? PATTERNS[calibration.cellMode] : [0, 0, 1],
    phases: phases(calibration).flat(),
    sweep: calibration.invertViews ? [1, -1] : [0, 1],
    grid: [tiling.columns, tiling.views],
    tile: [tileWidth / even(tiling.width), tileHeight / even(tiling.height)],
    inset: [0.5 / tileWidth, 0.5 / tileHeight],
    fit: wider >= 1 ? [wider, 1] : [1, 1 / wider],
    focus: [0],
    fan: [-tiling.fan / 2, tiling.fan / Math.max(tiling.views - 1, 1), opening(tiling)],
    blend: [1],
  };
}

/** Picture width over focal length of the cameras that orbited; 0 for parallel projection. @param {import("../shared/tiling.js").Tiling} tiling */
const opening = ({ aspect, parallel }) => (parallel ? 0 : 1 / Math.fround(FOCAL / Math.max(aspect, NARROWEST_SHARE)));

/** The nearest number of COARSE_BITS bits: times a panel pixel it is exact in a float. @param {number} value */
function rounded(value) {
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(value))) + 1 - COARSE_BITS);
  return Math.round(value / unit) * unit;
}

/** Phase in lenses of red, green and blue in each of the four cells of panel pixel (0, 0). */
function phases({ width, height, tilt, lensPitch, center, subpixel, stripes, cells }) {
  const striped = [stripes.map((place) => [place * subpixel * width, 0])];
  const known = cells.length ? cells : striped;
  return [0, 1, 2, 3].map((cell) =>
    known[cell % known.length].map(([x, y]) => {
      const lenses = ((0.5 + x) / width + ((0.5 + y) / height) * tilt) * lensPitch - center;
      return lenses - Math.floor(lenses);
    }),
  );
}

/** Each view's tile, from the picture's top, and its camera's yaw. @param {import("../shared/tiling.js").Tiling} tiling */
function viewsOf({ columns, rows, views, width, height, fan }) {
  const [across, down] = [Math.floor(width / columns), Math.floor(height / rows)];
  return Array.from({ length: views }, (_, view) => ({
    left: (view % columns) * across,
    bottom: even(height) - (Math.floor(view / columns) + 1) * down,
    width: across,
    height: down,
    yaw: fan * (view / Math.max(views - 1, 1) - 0.5),
  }));
}

/** Draws panel pictures into a canvas. Says in words why it cannot. */
export class Interlacer {
  #gl;
  #sources = null;
  #program = null;
  #numbers = null;
  #holds = false;
  #failure = "";
  #texture = null;
  /** Where views are drawn that are not of a video: a painter, and the texture as what it draws into, of these sides. */
  #drawing = null;

  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    this.#gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false, powerPreference: "high-performance" });
    const gl = this.#gl;
    const highp = gl?.getShaderPrecisionFormat(gl.FRAGMENT_SHADER, gl.HIGH_FLOAT)?.precision ?? 0;
    if (highp < HIGHP_BITS) {
      this.#failure = "This browser has no WebGL 2 with full precision. Switch on graphics acceleration in its settings, or use another browser.";
      return;
    }
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault()); // asks for it back
    canvas.addEventListener("webglcontextrestored", () => this.#build());
    void this.#load();
  }

  /** Why nothing can be drawn here, whatever the display; or nothing. */
  get failure() {
    return this.#failure;
  }

  /**
   * Why panel pictures cannot be drawn just now, or nothing.
   * @param {import("../shared/tiling.js").Tiling} tiling @param {import("./calibration.js").Calibration} calibration
   */
  trouble(tiling, calibration) {
    if (this.#failure) return this.#failure;
    const gl = this.#gl;
    if (gl.isContextLost()) return "The graphics card has dropped this page. Waiting to get it back; if it does not come, reload the page.";
    const largest = gl.getParameter(gl.MAX_TEXTURE_SIZE);
    if (Math.max(tiling.width, tiling.height) > largest) {
      return `The quilts of ${tiling.width} × ${tiling.height} pixels are larger than this graphics card takes (${largest}).`;
    }
    const short = gl.drawingBufferWidth < gl.canvas.width || gl.drawingBufferHeight < gl.canvas.height;
    if (short) return `The panel’s ${calibration.width} × ${calibration.height} pixels are more than this graphics card draws at once.`;
    return this.#program ? "" : "The shader is being fetched.";
  }

  /** From now on for this quilt and this panel. @param {import("../shared/tiling.js").Tiling} tiling @param {import("./calibration.js").Calibration} calibration */
  aim(tiling, calibration) {
    this.#numbers = uniforms(tiling, calibration);
    if (this.#gl) [this.#gl.canvas.width, this.#gl.canvas.height] = [calibration.width, calibration.height];
    this.#send();
  }

  /** What draws. @returns {WebGL2RenderingContext} */
  get gl() {
    return this.#gl;
  }

  /** Whether there is a quilt to be painted. */
  get holds() {
    return this.#holds;
  }

  /** The most pixels that a quilt may have on a side. */
  get largest() {
    return this.#failure ? 0 : this.#gl.getParameter(this.#gl.MAX_TEXTURE_SIZE);
  }

  /** A new quilt is in the video. @param {TexImageSource} video */
  take(video) {
    const gl = this.#gl;
    this.#drawing = null;
    gl.bindTexture(gl.TEXTURE_2D, this.#texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, video);
    this.#holds = true;
  }

  /**
   * A new quilt is what `actor` looks like at `now`, drawn here.
   * @param {import("../geometry/actor.js").Actor} actor @param {import("../shared/tiling.js").Tiling} tiling @param {number} now
   */
  draw(actor, tiling, now) {
    if (this.#drawing?.tiling !== tiling) this.#prepare(tiling);
    const { painter, frame, views } = this.#drawing;
    painter.follow(actor);
    painter.paintInto(frame, views, tiling.aspect, actor.mixture(now));
    this.#holds = true;
  }

  /** Counts what was found out about how it is to be drawn, as a painter does. */
  get arrived() {
    return this.#drawing?.painter.arrived ?? 0;
  }

  /** Whether all that is drawn is there by now. */
  get drawn() {
    return this.arrived > 0 || !this.#drawing?.painter.busy;
  }

  #prepare(tiling) {
    const gl = this.#gl;
    const painter = this.#drawing?.painter ?? new Painter(gl);
    gl.bindTexture(gl.TEXTURE_2D, this.#texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, even(tiling.width), even(tiling.height), 0, gl.RGBA, gl.UNSIGNED_BYTE, null);
    const frame = this.#drawing?.frame ?? gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.#texture, 0);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    this.#drawing = { painter, tiling, frame, views: viewsOf(tiling) };
  }

  paint() {
    const gl = this.#gl;
    gl.useProgram(this.#program);
    gl.bindTexture(gl.TEXTURE_2D, this.#texture);
    gl.viewport(0, 0, gl.drawingBufferWidth, gl.drawingBufferHeight);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  async #load() {
    try {
      const answers = await Promise.all(SHADERS.map((name) => fetch(new URL(name, import.meta.url))));
      if (!answers.every((answer) => answer.ok)) throw new Error(String(answers.map((answer) => answer.status)));
      this.#sources = await Promise.all(answers.map((answer) => answer.text()));
      this.#build();
    } catch {
      this.#failure = "The shader could not be fetched from the server. Reload the page.";
    }
  }

  #build() {
    const gl = this.#gl;
    this.#program = null;
    this.#drawing?.painter.free();
    this.#drawing = null;
    this.#holds = false;
    if (!this.#sources || gl.isContextLost()) return;
    const program = gl.createProgram();
    for (const [at, kind] of [gl.VERTEX_SHADER, gl.FRAGMENT_SHADER].entries()) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, this.#sources[at]);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
      if (!gl.isContextLost()) this.#failure = "This browser’s graphics driver does not take the shader. Another browser may, or a newer driver.";
      return;
    }
    gl.useProgram(program);
    this.#texture = plainTexture(gl);
    this.#program = program;
    this.#send();
  }

  #send() {
    if (!this.#program || !this.#numbers) return;
    this.#gl.useProgram(this.#program);
    for (const [name, values] of Object.entries(this.#numbers)) {
      const set = ["uniform1fv", "uniform2fv", "uniform3fv"][Math.min(values.length, 3) - 1];
      this.#gl[set](this.#gl.getUniformLocation(this.#program, name), values);
    }
  }
}
