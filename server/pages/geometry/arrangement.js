// Arrangement: where a cloud's Gaussians are in a pose, and in which order each view draws them: the furthest first. Pure.

/** Gaussians in a row of a texture. */
export const ACROSS = 512;
const DIGIT = 256;

/** Rows of a texture that holds so many. @param {number} count */
export const rowsOf = (count) => Math.ceil(count / ACROSS);

/** @typedef {{which: ArrayLike<number>, values: ArrayLike<number>}} Target */

export class Arrangement {
  #rest;
  #targets;
  #count;
  #depths;
  #keys;
  #half;
  #counts = new Uint32Array(DIGIT);

  /** @param {ArrayLike<number>} points [N, 3] at rest @param {Target[]} targets */
  constructor(points, targets) {
    this.#count = points.length / 3;
    this.#targets = targets;
    this.#rest = new Float32Array(4 * ACROSS * rowsOf(this.#count));
    for (let one = 0; one < this.#count; one += 1) for (let axis = 0; axis < 3; axis += 1) this.#rest[4 * one + axis] = points[3 * one + axis];
    this.#depths = new Float32Array(this.#count);
    this.#keys = new Uint16Array(this.#count);
    this.#half = new Uint32Array(this.#count);
  }

  /** How many numbers moved() gives: whole rows of a texture of four each. */
  get room() {
    return this.#rest.length;
  }

  /** How many orders() gives for a view. */
  get count() {
    return this.#count;
  }

  /** Where they are. @param {ArrayLike<number>} coefficients by target @param {Float32Array} out [room] */
  moved(coefficients, out) {
    out.set(this.#rest);
    for (const [at, { which, values }] of this.#targets.entries()) {
      const share = coefficients[at];
      if (!share) continue;
      for (let entry = 0; entry < which.length; entry += 1) {
        const [to, from] = [4 * which[entry], 3 * entry];
        out[to] += share * values[from];
        out[to + 1] += share * values[from + 1];
        out[to + 2] += share * values[from + 2];
      }
    }
  }

  /**
   * The order of one view: two passes over the digits of 16 bits of depth, equals as they were.
   * @param {Float32Array} places as moved() gave them @param {ArrayLike<number>} direction into the picture @param {Uint32Array} out [count]
   */
  order(places, direction, out) {
    const [count, depths, keys] = [this.#count, this.#depths, this.#keys];
    const [x, y, z] = [direction[0], direction[1], direction[2]];
    let [low, high] = [Infinity, -Infinity];
    for (let one = 0, at = 0; one < count; one += 1, at += 4) {
      const depth = x * places[at] + y * places[at + 1] + z * places[at + 2];
      depths[one] = depth;
      if (depth < low) low = depth;
      if (depth > high) high = depth;
    }
    const scale = high > low ? 65535 / (high - low) : 0;
    for (let one = 0; one < count; one += 1) keys[one] = (high - depths[one]) * scale;
    this.#sorted(null, this.#half, 0);
    this.#sorted(this.#half, out, 8);
  }

  /** @param {Uint32Array|null} from null: as they are @param {Uint32Array} to @param {number} shift to the digit */
  #sorted(from, to, shift) {
    const [count, keys, counts] = [this.#count, this.#keys, this.#counts];
    counts.fill(0);
    for (let one = 0; one < count; one += 1) counts[(keys[one] >> shift) & 255] += 1;
    for (let digit = 0, sum = 0; digit < DIGIT; digit += 1) [counts[digit], sum] = [sum, sum + counts[digit]];
    for (let at = 0; at < count; at += 1) {
      const one = from ? from[at] : at;
      to[counts[(keys[one] >> shift) & 255]++] = one;
    }
  }
}

/**
 * All that is needed to draw a pose from some directions.
 * @param {Arrangement} arrangement @param {Wanted} wanted @returns {Arranged}
 * @typedef {{number: number, pose: Float32Array, directions: Float32Array, spare?: {places: Float32Array, orders: Uint32Array}}} Wanted
 *   pose: its coefficients first; directions: [V, 3]; spare: what may be written over
 * @typedef {{number: number, pose: Float32Array, directions: Float32Array, places: Float32Array, orders: Uint32Array}} Arranged
 *   places: [room]; orders: [V, N]
 */
export function arranged(arrangement, { number, pose, directions, spare }) {
  const [room, size] = [arrangement.room, (directions.length / 3) * arrangement.count];
  const places = spare?.places.length === room ? spare.places : new Float32Array(room);
  const orders = spare?.orders.length === size ? spare.orders : new Uint32Array(size);
  arrangement.moved(pose, places);
  for (let view = 0; 3 * view < directions.length; view += 1) {
    const own = orders.subarray(view * arrangement.count, (view + 1) * arrangement.count);
    arrangement.order(places, directions.subarray(3 * view, 3 * view + 3), own);
  }
  return { number, pose, directions, places, orders };
}
