// Picture: an avatar on a canvas of its own, drawn here: one angle of it as large as the canvas, or all of a quilt's. For a Hologram,
// which asks when and from where.

import { Painter } from "./painter.js";
import { yawAt } from "./views.js";

const CONTEXT = { alpha: true, antialias: false, depth: false, powerPreference: "high-performance" };
/** As many device pixels as a canvas may have on a side. */
const LARGEST_SIDE = 4096;

/** Fires "lost" and "restored", as the graphics card comes and goes. */
export class DrawnPicture extends EventTarget {
  kind = "geometry";
  slow = false;
  largest = LARGEST_SIDE;
  /** Device pixels of a CSS pixel beyond which nobody sees more. */
  dots = Infinity;
  canvas = Object.assign(document.createElement("canvas"), { className: "drawn" });
  /** @type {"window"|"quilt"} */
  as = "window";
  #actor;
  #gl;
  #painter = null;
  #painted = "";

  /** @param {import("./actor.js").Actor} actor @throws {import("./shaders.js").NotDrawable} */
  constructor(actor) {
    super();
    this.#actor = actor;
    this.canvas.role = "img";
    this.canvas.setAttribute("aria-labelledby", "what");
    this.#gl = this.canvas.getContext("webgl2", CONTEXT);
    this.#painter = new Painter(this.#gl);
    this.canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault(); // asks for it back
      this.#painter = null;
      this.dispatchEvent(new Event("lost"));
    });
    this.canvas.addEventListener("webglcontextrestored", () => {
      this.#painter = new Painter(this.#gl);
      this.dispatchEvent(new Event("restored"));
    });
  }

  canShow() {
    return true;
  }

  get ready() {
    return this.#painter !== null && this.#actor.figure !== null;
  }

  /** Whether it has moved, or is to be shown otherwise. @param {number} now */
  fresh(now) {
    return this.#stateAt(now) !== this.#painted;
  }

  #stateAt(now) {
    return `${this.#actor.generation} ${this.#actor.mixture(now)} ${this.as}`;
  }

  /** @param {import("../shared/tiling.js").Screen} screen @param {number} share of the fan @param {number} now */
  paint(screen, share, now) {
    this.#painter.follow(this.#actor);
    this.#painter.paint(this.as === "quilt" ? this.#tiles(screen) : this.#window(screen, share), screen.aspect, this.#actor.mixture(now));
    this.#painted = this.#stateAt(now);
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
