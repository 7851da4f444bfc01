// Where a view lies in the quilt, and which two views make an angle. Knows nothing of how they are drawn.

/**
 * @typedef {{columns: number, rows: number, quilt_width: number, quilt_height: number, aspect: number,
 *            yaws_degrees: number[], cut?: {left: number, top: number, width: number, height: number}}} Screen as
 *            GET /api/channels/{channel} gives it; cut: the part of each tile that is shown, in shares of it (seats.js)
 */

/**
 * @typedef {{columns: number, rows: number, views: number, width: number, height: number, aspect: number, fan: number,
 *            parallel: boolean}} Tiling of a quilt as it is rendered; fan: radians from the first to the last of the
 *            cameras, which orbit at even steps; parallel: they project in parallel
 */

const WHOLE = { left: 0, top: 0, width: 1, height: 1 };

/** @param {Screen} screen @param {boolean} parallel as the channel says @returns {Tiling} */
export function tilingOf({ columns, rows, quilt_width: width, quilt_height: height, aspect, yaws_degrees: yaws }, parallel) {
  const fan = ((yaws[yaws.length - 1] - yaws[0]) * Math.PI) / 180;
  return { columns, rows, views: yaws.length, width, height, aspect, fan, parallel };
}

/** A video has even sides; a quilt's padding is at the right and top. @param {number} side */
export const even = (side) => side + (side % 2);

/**
 * The tile of `view` in shares of the picture, from its top left. View 0 is bottom-left; then rightwards, then upwards.
 * @param {Screen} screen
 * @param {number} view
 */
export function tileOf(screen, view) {
  const width = Math.floor(screen.quilt_width / screen.columns);
  const height = Math.floor(screen.quilt_height / screen.rows);
  const [across, down] = [even(screen.quilt_width), even(screen.quilt_height)];
  const column = view % screen.columns;
  const rowFromBottom = Math.floor(view / screen.columns);
  const { cut = WHOLE } = screen;
  return {
    left: ((column + cut.left) * width) / across,
    top: (down - (rowFromBottom + 1 - cut.top) * height) / down,
    width: (cut.width * width) / across,
    height: (cut.height * height) / down,
  };
}

/**
 * The two neighbouring views whose mixture is shown at `share` of the fan (0 leftmost, 1 rightmost).
 * @param {Screen} screen
 * @param {number} share
 */
export function neighbours(screen, share) {
  const position = share * (screen.yaws_degrees.length - 1);
  const low = Math.min(Math.floor(position), screen.yaws_degrees.length - 1);
  return { low, high: Math.min(low + 1, screen.yaws_degrees.length - 1), mix: position - low };
}

/** The angle at `share` in degrees. @param {Screen} screen @param {number} share */
export function degreesAt(screen, share) {
  const { low, high, mix } = neighbours(screen, share);
  return screen.yaws_degrees[low] * (1 - mix) + screen.yaws_degrees[high] * mix;
}
