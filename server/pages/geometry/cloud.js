// Cloud: an avatar of Gaussians, and how a motion record moves it (docs/geometry.md, Splats). Draws nothing.

import { Figure } from "./figure.js";

/** The constant spherical harmonic, of which the asset keeps colours. */
const HARMONIC = 0.28209479177387814;
const NAMED = "KHR_gaussian_splatting:";
/** Numbers of the matrix that turns and places all of it. */
export const MATRIX = 12;
const STILL = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0];

/** @typedef {import("./figure.js").Pose} Pose @typedef {import("./figure.js").Motion} Motion */

export class Cloud extends Figure {
  /** @param {any} told @param {import("./glb.js").Glb} glb */
  constructor(told, glb) {
    super(told);
    const [{ attributes, targets }] = glb.json.meshes[0].primitives;
    const numbers = (/** @type {string} */ name) => glb.numbers(attributes[NAMED + name]);
    /** [N, 3] in the world: middles at rest. */
    this.points = glb.numbers(attributes.POSITION);
    this.opacities = numbers("OPACITY");
    this.#rotations = numbers("ROTATION");
    this.#scales = numbers("SCALE");
    this.#harmonics = numbers("SH_DEGREE_0_COEF_0");
    /** By action: which it moves, and by how much in the world when it is whole. */
    this.targets = targets.map(({ POSITION }) => glb.sparse(POSITION));
  }

  #rotations;
  #scales;
  #harmonics;

  /** How many Gaussians it has. */
  get count() {
    return this.opacities.length;
  }

  /** The coefficients, then the matrix's numbers, row by row. @returns {Pose} */
  atRest() {
    return Float32Array.of(...this.targets.map(() => 0), ...STILL);
  }

  /** @param {Motion} motion @returns {Pose} */
  posed({ coefficients, matrices }) {
    return Float32Array.of(...coefficients, ...matrices);
  }

  /** The upper triangle of one's covariance at rest, row by row. @param {number} one @returns {number[]} */
  covariance(one) {
    const [x, y, z, w] = this.#rotations.subarray(4 * one, 4 * one + 4);
    const [a, b, c] = this.#scales.subarray(3 * one, 3 * one + 3).map((scale) => scale * scale);
    const rows = [
      [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
      [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
      [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ];
    const form = (/** @type {number[]} */ p, /** @type {number[]} */ q) => a * p[0] * q[0] + b * p[1] * q[1] + c * p[2] * q[2];
    return [form(rows[0], rows[0]), form(rows[0], rows[1]), form(rows[0], rows[2]), form(rows[1], rows[1]), form(rows[1], rows[2]), form(rows[2], rows[2])];
  }

  /** One's colour, 0..1. @param {number} one @returns {number[]} */
  colour(one) {
    return [0, 1, 2].map((channel) => Math.min(1, Math.max(0, 0.5 + HARMONIC * this.#harmonics[3 * one + channel])));
  }
}
