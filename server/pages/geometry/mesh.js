// Mesh: an avatar of triangles, and how a motion record moves it (docs/geometry.md, Triangles). Draws nothing.

import { Figure } from "./figure.js";

/** @typedef {import("./figure.js").Pose} Pose @typedef {import("./figure.js").Motion} Motion */

export class Mesh extends Figure {
  #rest;
  #joints;
  #weights;
  #light;
  #shade;
  #moves;

  /** @param {any} told @param {import("./glb.js").Glb} glb @param {ImageBitmap} atlas its alpha not multiplied in */
  constructor(told, glb, atlas) {
    super(told);
    const { primitives } = glb.json.meshes[0];
    const { attributes } = primitives[0];
    this.atlas = atlas;
    this.crop = told.texture.crop;
    this.largest = told.texture.largest;
    this.places = glb.numbers(attributes.TEXCOORD_0);
    /** Back to front; culled: seen from its front only. */
    this.parts = primitives.map(({ indices, material }) => ({ indices: glb.numbers(indices), culled: !glb.json.materials[material].doubleSided }));
    this.#rest = glb.numbers(attributes.POSITION);
    this.#joints = glb.numbers(attributes.JOINTS_0);
    this.#weights = glb.numbers(attributes.WEIGHTS_0);
    this.#light = glb.numbers(attributes._LIGHT);
    this.#shade = glb.numbers(attributes._SHADE);
    this.#moves = Object.fromEntries(Object.entries(told.moves).map(([name, accessor]) => [name, glb.numbers(accessor)]));
  }

  /** How many vertices it has. */
  get points() {
    return this.#light.length;
  }

  /** [points, 4]: x, y, z in the world, and the light that colours are multiplied with. @returns {Pose} */
  atRest() {
    const pose = new Float32Array(4 * this.points);
    for (let vertex = 0; vertex < this.points; vertex += 1) {
      pose.set(this.#rest.subarray(3 * vertex, 3 * vertex + 3), 4 * vertex);
      pose[4 * vertex + 3] = this.#light[vertex];
    }
    return pose;
  }

  /** @param {Motion} motion @returns {Pose} */
  posed({ moves, matrices, shades }) {
    const { starts, controls, weights } = this.#moves;
    const pose = new Float32Array(4 * this.points);
    for (let vertex = 0; vertex < this.points; vertex += 1) {
      let [x, y, z] = [this.#rest[3 * vertex], this.#rest[3 * vertex + 1], this.#rest[3 * vertex + 2]];
      for (let entry = starts[vertex]; entry < starts[vertex + 1]; entry += 1) {
        const [from, weight] = [3 * controls[entry], weights[entry]];
        x += weight * moves[from];
        y += weight * moves[from + 1];
        z += weight * moves[from + 2];
      }
      this.#skin(pose, vertex, x, y, z, matrices);
      const shade = this.#shade[vertex];
      pose[4 * vertex + 3] = this.#light[vertex] * (shade > 0 ? shades[Math.round(shade) - 1] : 1);
    }
    return pose;
  }

  #skin(pose, vertex, x, y, z, matrices) {
    for (let influence = 4 * vertex; influence < 4 * vertex + 4; influence += 1) {
      const weight = this.#weights[influence];
      if (!weight) continue;
      const joint = this.#joints[influence];
      if (joint === 0) {
        pose[4 * vertex] += weight * x;
        pose[4 * vertex + 1] += weight * y;
        pose[4 * vertex + 2] += weight * z;
        continue;
      }
      const m = 12 * (joint - 1);
      for (let row = 0; row < 3; row += 1) {
        const at = m + 4 * row;
        pose[4 * vertex + row] += weight * (matrices[at] * x + matrices[at + 1] * y + matrices[at + 2] * z + matrices[at + 3]);
      }
    }
  }
}
