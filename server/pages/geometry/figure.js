// Figure: what every asset tells of an avatar (docs/geometry.md, Asset), whatever it is drawn of. Draws nothing.

/**
 * @typedef {{text: string, lines: number[][], advance: number, safe: number, height: number, smallest: number, shortest: number,
 *            opacity: number, plate: number}} MarkPlan
 * @typedef {Float32Array} Pose where it is at a moment, as numbers between which may be interpolated; what they are is each kind's own
 * @typedef {import("./motion.js").Motion} Motion
 */

export class Figure {
  /** @param {any} told by the asset */
  constructor(told) {
    this.parallel = told.projection === "parallel";
    this.engine = String(told.engine);
    this.counts = { joints: told.joints, controls: told.controls, shades: told.shades, coefficients: told.coefficients };
    this.fade = told.fade;
    this.metres = told.metres;
    /** @type {MarkPlan|null} */
    this.mark = told.mark;
  }

  /** @returns {Pose} */
  atRest() {
    throw new Error("each kind has its own");
  }

  /** @param {Motion} motion @returns {Pose} */
  posed(motion) {
    throw new Error(`each kind has its own, of ${motion}`);
  }
}
