// Picture: an avatar on a canvas of its own, drawn here: one angle of it as large as the canvas, or all of a quilt's. For a Hologram,
// which asks when and from where.

import { Painter } from "./painter.js";
import { refused } from "./shaders.js";
import { FirstPictures, SLOWEST_MS } from "./trial.js";
import { yawAt } from "./views.js";

const CONTEXT = { alpha: true, antialias: false, depth: false, powerPreference: "high-performance" };
/** As many device pixels as a canvas may have on a side. */
const LARGEST_SIDE = 4096;
/** Where who watches wants it drawn though that is slow: fewer pixels, and none between two records. */
const LARGEST_SLOW_SIDE = 448;

/** Fires "lost" and "restored", as the graphics card comes and goes, "refused" where it takes none of it, and "slow" with the milliseconds
 * that a picture takes if that is long. */
export class DrawnPicture extends EventTarget {
  kind = "geometry";
  slow = false;
  /** Device pixels of a CSS pixel beyond which nobody sees more. */
  dots = Infinity;
  canvas = Object.assign(document.createElement("canvas"), { className: "drawn" });
  /** @type {"window"|"quilt"} */
  as = "window";
  #actor;
  #gl;
  #painter = null;
  #painted = "";
  #trial = new FirstPictures();
  /** What the graphics card is at, where it is slow. @type {WebGLSync|null} */
  #given = null;

  /**
   * @param {import("./actor.js").Actor} actor @param {HTMLCanvasElement} beside the canvas in whose place it comes: it is called alike
   * @throws {import("./shaders.js").NotDrawable}
   */
  constructor(actor, beside) {
    super();
    this.#actor = actor;
    for (const name of ["role", "aria-label", "aria-labelledby"]) {
      if (beside.hasAttribute(name)) this.canvas.setAttribute(name, beside.getAttribute(name));
    }
    this.#gl = this.canvas.getContext("webgl2", CONTEXT);
    this.#painter = new Painter(this.#gl);
    this.canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault(); // asks for it back
      this.#painter?.free();
      this.#painter = this.#given = null;
      this.dispatchEvent(new Event("lost"));
    });
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.#painter = new Painter(this.#gl);
      this.dispatchEvent(new Event("restored"));
    });
  }

  get largest() {
    return this.slow ? LARGEST_SLOW_SIDE : LARGEST_SIDE;
  }

  canShow() {
    return true;
  }

  /** Not where a graphics card is behind: what it is given meanwhile would only wait, and keep the page from everything else. */
  get ready() {
    return this.#painter !== null && this.#actor.figure !== null && !this.#behind;
  }

  get #behind() {
    const gl = this.#gl;
    if (!this.#given || gl.getSyncParameter(this.#given, gl.SYNC_STATUS) !== gl.SIGNALED) return this.#given !== null;
    gl.deleteSync(this.#given);
    this.#given = null;
    return false;
  }

  /** Whether it has moved, or is to be shown otherwise. @param {number} now */
  fresh(now) {
    return this.#stateAt(now) !== this.#painted;
  }

  #stateAt(now) {
    return `${this.#actor.generation} ${this.#mixture(now)} ${this.as} ${this.#painter.arrived}`;
  }

  #mixture(now) {
    return this.slow ? 1 : this.#actor.mixture(now);
  }

  /** @param {import("../shared/tiling.js").Screen} screen @param {number} share of the fan @param {number} now */
  paint(screen, share, now) {
    const begun = performance.now();
    try {
      this.#painter.follow(this.#actor);
      this.#painter.paint(this.as === "quilt" ? this.#tiles(screen) : this.#window(screen, share), screen.aspect, this.#mixture(now));
    } catch (failure) {
      if (refused(failure)) this.dispatchEvent(new Event("refused"));
      return;
    }
    this.#painted = this.#stateAt(now);
    if (this.slow) this.#mark();
    else if (this.#painter.whole) this.#judge(this.#trial.painted(this.#gl, begun));
  }

  #mark() {
    const gl = this.#gl;
    this.#given = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
    gl.flush();
  }

  /** @param {number} milliseconds of a picture */
  #judge(milliseconds) {
    this.slow = milliseconds > SLOWEST_MS;
    if (this.slow) this.dispatchEvent(new CustomEvent("slow", { detail: milliseconds }));
  }

  #window({ yaws_degrees: yaws }, share) {
    return [{ left: 0, bottom: 0, width: this.canvas.width, height: this.canvas.height, yaw: yawAt(yaws, share) }];
  }

  #tiles({ columns, rows, yaws_degrees: yaws }) {
    const [width, height] = [Math.floor(this.canvas.width / columns), Math.floor(this.canvas.height / rows)];
    const place = (view) => ({ left: (view % columns) * width, bottom: Math.floor(view / columns) * height });
    return yaws.map((yaw, view) => ({ ...place(view), width, height, yaw: (yaw * Math.PI) / 180 }));
  }
}
