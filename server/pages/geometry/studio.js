// Studio: one graphics context in which many avatars are drawn, each then shown on a plain canvas of its own: browsers have few contexts.

import { Painter } from "./painter.js";
import { refused } from "./shaders.js";
import { FirstPictures, SLOWEST_MS } from "./trial.js";
import { yawAt } from "./views.js";

const CONTEXT = { alpha: true, antialias: false, depth: false, powerPreference: "high-performance" };
/** As many device pixels as a tile may have on a side; and where this device draws slowly, all tiles together. */
const [LARGEST_SIDE, LARGEST_SLOW_SIDE] = [2048, 448];

/** Fires "lost" and "restored", as the graphics card comes and goes, "refused" where it takes somebody's avatar not at all, and "slow" with
 * the milliseconds that all take if that is long. */
export class Studio extends EventTarget {
  /** Whether this device draws slowly: fewer pixels, and none between two records. */
  slow = false;
  /** Counts contexts: what was made in one is gone with it. */
  round = 0;
  /** How many draw in it. */
  tiles = 0;
  #canvas = document.createElement("canvas");
  #gl;

  /** @throws {import("./shaders.js").NotDrawable} */
  constructor() {
    super();
    this.#gl = this.#canvas.getContext("webgl2", CONTEXT);
    new Painter(this.#gl).free(); // whether the driver takes the shaders is known before anybody is to be drawn
    this.#canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault(); // asks for it back
      this.round += 1;
      this.dispatchEvent(new Event("lost"));
    });
    this.#canvas.addEventListener("webglcontextrestored", () => this.dispatchEvent(new Event("restored")));
  }

  get lost() {
    return this.#gl.isContextLost();
  }

  painter() {
    return new Painter(this.#gl);
  }

  /**
   * One view, as large as the canvas of `onto`. It is taken over at once: the next one is drawn at the same place.
   * @param {Painter} painter @param {CanvasRenderingContext2D} onto @param {number} yaw radians @param {number} aspect @param {number} mixture
   * @param {FirstPictures} trial
   */
  paint(painter, onto, yaw, aspect, mixture, trial) {
    const begun = performance.now();
    const { width, height } = onto.canvas;
    const [canvas, side] = [this.#canvas, (/** @type {"width"|"height"} */ one) => Math.max(this.#canvas[one], onto.canvas[one])];
    if (canvas.width < width || canvas.height < height) Object.assign(canvas, { width: side("width"), height: side("height") });
    painter.paint([{ left: 0, bottom: 0, width, height, yaw }], aspect, mixture, [width, height]);
    onto.drawImage(canvas, 0, canvas.height - height, width, height, 0, 0, width, height);
    if (!this.slow && painter.whole) this.#judge(trial.painted(this.#gl, begun) * this.tiles);
  }

  /** @param {number} milliseconds of all tiles */
  #judge(milliseconds) {
    this.slow = milliseconds > SLOWEST_MS;
    if (this.slow) this.dispatchEvent(new CustomEvent("slow", { detail: milliseconds }));
  }
}

/** One avatar's tile, for a Hologram, which asks when and from where. */
export class DrawnTile {
  kind = "geometry";
  /** Device pixels of a CSS pixel beyond which nobody sees more. */
  dots = Infinity;
  canvas = Object.assign(document.createElement("canvas"), { className: "drawn" });
  /** Degrees by which it is turned towards the others. */
  turn = 0;
  #actor;
  #studio;
  #onto;
  #painter = null;
  #round = -1;
  #painted = "";
  #trial = new FirstPictures();

  /** @param {import("./actor.js").Actor} actor @param {Studio} studio */
  constructor(actor, studio) {
    this.#actor = actor;
    this.#studio = studio;
    this.#onto = this.canvas.getContext("2d", { alpha: false });
    studio.tiles += 1;
  }

  get slow() {
    return this.#studio.slow;
  }

  get largest() {
    return this.slow ? LARGEST_SLOW_SIDE / Math.sqrt(this.#studio.tiles) : LARGEST_SIDE;
  }

  canShow() {
    return true;
  }

  get ready() {
    return !this.#studio.lost && this.#actor.figure !== null;
  }

  /** Whether it has moved. @param {number} now */
  fresh(now) {
    return this.#stateAt(now) !== this.#painted;
  }

  #stateAt(now) {
    return `${this.#actor.generation} ${this.#mixture(now)} ${this.turn} ${this.#studio.round} ${this.#painter?.arrived}`;
  }

  #mixture(now) {
    return this.slow ? 1 : this.#actor.mixture(now);
  }

  /** @param {import("../shared/tiling.js").Screen} screen @param {number} share of the fan @param {number} now */
  paint(screen, share, now) {
    if (this.#round !== this.#studio.round) this.#painter?.free();
    if (this.#round !== this.#studio.round) [this.#painter, this.#round] = [this.#studio.painter(), this.#studio.round];
    const yaw = yawAt(screen.yaws_degrees, share) + (this.turn * Math.PI) / 180;
    try {
      this.#painter.follow(this.#actor);
      this.#studio.paint(this.#painter, this.#onto, yaw, screen.aspect, this.#mixture(now), this.#trial);
    } catch (failure) {
      if (refused(failure)) this.#studio.dispatchEvent(new Event("refused"));
    }
    this.#painted = this.#stateAt(now);
  }

  /** Gives back what it holds of the graphics card. */
  free() {
    this.#painter?.free();
    this.#round = -1;
    this.#studio.tiles -= 1;
  }
}
