// Panel: an avatar drawn for one display: as many views as its panel has, as large as it wants them, and whether this device keeps up.

import { size } from "./alignment.js";
import { FirstPictures } from "../geometry/trial.js";
import { nativeTiling } from "./native.js";

/** Slower than this, and the face lags behind its records. */
const SLOWEST_MS = 40;

export class Panel {
  #interlacer;
  #tiling = null;
  #drawn = "";
  #trial = new FirstPictures();

  /** @param {import("./lenticular.js").Interlacer} interlacer */
  constructor(interlacer) {
    this.#interlacer = interlacer;
  }

  /**
   * What is to be drawn; the same object while nothing has changed.
   * @param {import("./bridge.js").Display} display @param {import("./native.js").Known[]} known
   * @param {import("../shared/tiling.js").Tiling} played
   */
  tilingFor(display, known, played) {
    const wanted = nativeTiling(display, known, played, this.#interlacer.largest);
    if (JSON.stringify(wanted) === JSON.stringify(this.#tiling)) return this.#tiling;
    this.#trial = new FirstPictures();
    this.#tiling = wanted;
    return wanted;
  }

  /**
   * Draws what has moved. @param {import("../geometry/actor.js").Actor} actor @param {number} now @param {boolean} stale whatever has moved
   * @returns {number} milliseconds that one picture takes, once that is found to be too many; else 0
   */
  draw(actor, now, stale) {
    const state = `${actor.generation} ${actor.mixture(now)} ${this.#interlacer.arrived}`;
    if (!stale && state === this.#drawn) return 0;
    this.#drawn = state;
    const begun = performance.now();
    this.#interlacer.draw(actor, this.#tiling, now);
    this.#interlacer.paint();
    const took = this.#interlacer.drawn ? this.#trial.painted(this.#interlacer.gl, begun) : 0;
    return took > SLOWEST_MS ? took : 0;
  }

  /** What is drawn, in words. */
  get words() {
    const { views, width, columns, height, rows } = this.#tiling;
    return `${views} views of ${size([width / columns, height / rows])} pixels, drawn on this device`;
  }
}
