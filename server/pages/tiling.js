// Where a view lies in the quilt, and which two views make an angle. Knows nothing of how they are drawn.

/**
 * @typedef {{columns: number, rows: number, quilt_width: number, quilt_height: number, aspect: number,
 *            yaws_degrees: number[]}} Screen as GET /api/channels/{channel} gives it
 */

/**
 * The tile of `view` in shares of the picture, from its top left. View 0 is bottom-left; then rightwards, then upwards.
 * @param {Screen} screen
 * @param {number} view
 */
export function tileOf(screen, view) {
  const width = Math.floor(screen.quilt_width / screen.columns);
  const height = Math.floor(screen.quilt_height / screen.rows);
  const across = screen.quilt_width + (screen.quilt_width % 2); // a video has even sides; padding is at the right and top
  const down = screen.quilt_height + (screen.quilt_height % 2);
  const column = view % screen.columns;
  const rowFromBottom = Math.floor(view / screen.columns);
  return {
    left: (column * width) / across,
    top: (down - (rowFromBottom + 1) * height) / down,
    width: width / across,
    height: height / down,
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
