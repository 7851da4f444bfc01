// Native: how many views a display's own panel wants, and how large: by its own report, else by the tables that the server has, else
// as most displays do. Pure.

/**
 * @typedef {{columns: number, rows: number, width: number, height: number, aspect: number}} Quilt as a display asks for it
 * @typedef {{serials: string[], columns: number, rows: number, quilt_width: number, quilt_height: number, aspect: number}} Known kind
 *   of display, as GET /api/screens has it
 */

/** The vendor's own fallback, for pictures of the panel's aspect. */
const [COLUMNS, ROWS, TILE_HEIGHT] = [8, 6, 560];

/**
 * @param {import("./bridge.js").Display} display @param {Known[]} known
 * @param {import("../shared/tiling.js").Tiling} played as the server's quilts are: over which angle, and how projected
 * @param {number} largest side of a picture that the graphics card takes
 * @returns {import("../shared/tiling.js").Tiling}
 */
export function nativeTiling({ calibration, quilt }, known, { fan, parallel }, largest) {
  const { columns, rows, width, height, aspect } = quilt ?? listed(calibration, known) ?? usual(calibration);
  const shrink = Math.min(1, largest / Math.max(width, height));
  const side = (whole, parts) => 2 * Math.floor((whole * shrink) / parts / 2) * parts; // tiles of even sides
  return { columns, rows, views: columns * rows, width: side(width, columns), height: side(height, rows), aspect, fan, parallel };
}

/** @param {import("./calibration.js").Calibration} calibration @param {Known[]} known @returns {Quilt|null} */
function listed({ serial }, known) {
  const one = known.find(({ serials }) => serials.some((prefix) => serial.startsWith(prefix)));
  return one ? { columns: one.columns, rows: one.rows, width: one.quilt_width, height: one.quilt_height, aspect: one.aspect } : null;
}

/** @param {import("./calibration.js").Calibration} calibration @returns {Quilt} */
const usual = ({ aspect }) => ({ columns: COLUMNS, rows: ROWS, width: COLUMNS * Math.round(TILE_HEIGHT * aspect), height: ROWS * TILE_HEIGHT, aspect });

/**
 * What a display reports as its quilt; null where that is no such thing.
 * @param {unknown} reported a record or its text @returns {Quilt|null}
 */
export function reportedQuilt(reported) {
  const told = typeof reported === "string" ? parsed(reported) : reported;
  const { quiltX: width, quiltY: height, tileX: columns, tileY: rows, quiltAspect: aspect } = told ?? {};
  const whole = (value, low, high) => Number.isInteger(value) && low <= value && value <= high;
  const fits = whole(columns, 1, 50) && whole(rows, 1, 50) && whole(width, 256, 16384) && whole(height, 256, 16384);
  return fits && aspect > 0.1 && aspect < 10 ? { columns, rows, width, height, aspect } : null;
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
