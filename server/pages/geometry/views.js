// Views: which matrix shows the world from a yaw, as docs/geometry.md (Drawing) and display/optics.py have it. Pure.

/** Radius and middle of the cameras' orbit, and focal length over width of the square crop's camera. */
const ORBIT_RADIUS = 2.5;
export const LOOK_AT_Z = 0.2;
const FOCAL = 1 / (Math.tan((18.837 * 3.14159) / 360) * 1.414);
/** Of the crop, where it cuts the plane of the glass, in units of the world. */
export const CROP_SIDE = ORBIT_RADIUS / FOCAL;
const NARROWEST_SHARE = 0.75;
/** What lies further from the plane of the glass is not drawn, in units of the world: a head is half a unit deep. */
const DEEPEST = 2;

/** Width and height that a picture of this aspect shows, as shares of the square crop's side. @param {number} aspect @returns {[number, number]} */
export function spanOf(aspect) {
  const across = Math.max(aspect, NARROWEST_SHARE);
  return [across, across / aspect];
}

/**
 * From the world to clip space, column by column.
 * @param {boolean} parallel @param {number} yaw radians, positive to the right @param {number} aspect of the picture @returns {Float32Array} [16]
 */
export function matrixOf(parallel, yaw, aspect) {
  const [cos, sin] = [Math.cos(yaw), Math.sin(yaw)];
  const [spanX, spanY] = spanOf(aspect);
  const [across, up] = [(2 * FOCAL) / spanX, (2 * FOCAL) / spanY];
  // X = d.x cos - d.z sin, up = d.y, Z = -d.x sin - d.z cos, d = p - (0, 0, LOOK_AT_Z); then w = R or R + Z, depth z / w in -1..1
  const [w, depth] = parallel ? [[0, ORBIT_RADIUS], [ORBIT_RADIUS / DEEPEST, 0]] : [[1, ORBIT_RADIUS], pinhole()];
  const rows = [[across * cos, 0, -across * sin], [0, up, 0], [-sin * depth[0], 0, -cos * depth[0]], [-sin * w[0], 0, -cos * w[0]]];
  const shifts = [0, 0, depth[1], w[1]].map((shift, row) => shift - rows[row][2] * LOOK_AT_Z);
  return new Float32Array([0, 1, 2].flatMap((column) => rows.map((row) => row[column])).concat(shifts));
}

/** Factor and shift that bring Z to -w at the nearest and to w at the deepest. */
function pinhole() {
  const [near, far] = [ORBIT_RADIUS - DEEPEST, ORBIT_RADIUS + DEEPEST];
  const factor = (far + near) / (far - near);
  return [factor, near * (-1 - factor) + factor * ORBIT_RADIUS];
}

/** The yaw at `share` of a fan, radians. @param {readonly number[]} yaws degrees, leftmost first @param {number} share */
export function yawAt(yaws, share) {
  const position = share * (yaws.length - 1);
  const low = Math.min(Math.floor(position), yaws.length - 1);
  const high = Math.min(low + 1, yaws.length - 1);
  return ((yaws[low] + (yaws[high] - yaws[low]) * (position - low)) * Math.PI) / 180;
}

/** @param {Float32Array} a @param {Float32Array} b both [16], by columns @returns {Float32Array} */
export function times(a, b) {
  return Float32Array.from({ length: 16 }, (_, at) => {
    const [column, row] = [at >> 2, at & 3];
    return [0, 1, 2, 3].reduce((sum, k) => sum + a[4 * k + row] * b[4 * column + k], 0);
  });
}
