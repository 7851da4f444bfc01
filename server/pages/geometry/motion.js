// Motion: one record of how an avatar moves (docs/geometry.md, Motion), read.

const VERSION = 1;
const HEADER = 28;
const [SHADE_STEPS, COEFFICIENT_STEPS] = [128, 8192];

/**
 * @typedef {{asset: number, sequence: number, captured: number, body: Uint8Array, step: number, matrices: Float32Array}} Sealed
 *   captured: seconds since 1970; matrices: [joints, 12]; body: still packed
 * @typedef {{moves: Float32Array, matrices: Float32Array, shades: Float32Array, coefficients: Float32Array}} Motion
 *   moves: [controls, 3] in the world; matrices: [joints, 12], row by row; coefficients: 1 is a whole action
 * @typedef {{joints: number, controls: number, shades: number, coefficients: number}} Counts
 */

/**
 * What a record says of itself, or null for one that is not known here.
 * @param {ArrayBuffer} record @param {Counts} counts as the asset has them @returns {Sealed|null}
 */
export function opened(record, { joints, controls, shades, coefficients }) {
  if (record.byteLength < HEADER + 48 * joints) return null;
  const view = new DataView(record);
  const told = [view.getUint8(0), view.getUint8(1), view.getUint16(2, true), view.getUint16(4, true), view.getUint16(6, true)];
  if (told.some((one, at) => one !== [VERSION, joints, controls, shades, coefficients][at])) return null;
  return {
    asset: view.getUint32(8, true),
    sequence: view.getUint32(12, true),
    captured: view.getFloat64(16, true),
    step: view.getFloat32(24, true),
    matrices: Float32Array.from({ length: 12 * joints }, (_, at) => view.getFloat32(HEADER + 4 * at, true)),
    body: new Uint8Array(record, HEADER + 48 * joints),
  };
}

/** @param {Sealed} sealed @param {Counts} counts @returns {Promise<Motion|null>} null where its body is not what it has to be */
export async function unpacked({ body, step, matrices }, { controls, shades, coefficients }) {
  const plain = await inflated(body).catch(() => null);
  if (plain?.length !== 6 * controls + shades + 2 * coefficients) return null;
  const [steps, last] = [whole(plain, 0, 3 * controls), 6 * controls + shades];
  const moves = new Float32Array(3 * controls);
  for (let axis = 0; axis < 3; axis += 1) {
    let sum = 0;
    for (let control = 0; control < controls; control += 1) {
      sum = ((sum + steps[axis * controls + control]) << 16) >> 16; // as an int16
      moves[3 * control + axis] = step * sum;
    }
  }
  return {
    moves,
    matrices,
    shades: Float32Array.from(plain.subarray(6 * controls, last), (byte) => byte / SHADE_STEPS),
    coefficients: Float32Array.from(whole(plain, last, coefficients), (number) => number / COEFFICIENT_STEPS),
  };
}

/** Numbers whose low bytes come first, and then their high bytes. @param {Uint8Array} bytes @param {number} first @param {number} count */
function whole(bytes, first, count) {
  return Int16Array.from({ length: count }, (_, at) => bytes[first + at] | (bytes[first + count + at] << 8));
}

/** @param {Uint8Array} body */
async function inflated(body) {
  const stream = new Blob([body]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Whether this browser can read records at all. */
export const canUnpack = () => {
  try {
    return Boolean(new DecompressionStream("deflate-raw"));
  } catch {
    return false; // Safari before 16.4, Firefox before 113
  }
};
