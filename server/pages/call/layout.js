// Layout: how large places are in a space: all alike, or one large and the others in a strip. Pure.

/**
 * @param {number} count of places, each of `aspect` (width / height)
 * @param {number} width @param {number} height pixels of the space @param {number} gap between places
 * @returns {{columns: number, side: number}} side: the width of each place
 */
export function largest(count, width, height, aspect = 1, gap = 14) {
  let best = { columns: 1, side: 0 };
  for (let columns = 1; columns <= count; columns += 1) {
    const rows = Math.ceil(count / columns);
    const across = (width - (columns - 1) * gap) / columns;
    const down = ((height - (rows - 1) * gap) / rows) * aspect;
    const side = Math.floor(Math.max(0, Math.min(across, down)));
    if (side > best.side) best = { columns, side };
  }
  return best;
}

/** The strip's share of the shorter way, and the most pixels of a place in it. */
const STRIP_SHARE = 0.26;
const STRIP_MOST = 220;

/**
 * One place large, the others in a strip beside it, or below it where the space is upright.
 * @param {number} count of places in all @param {number} width @param {number} height pixels of the space
 * @returns {{below: boolean, side: number, strip: number}} widths of the large one and of each of the others
 */
export function oneLarge(count, width, height, aspect = 1, gap = 14) {
  const below = height * aspect > width;
  const others = Math.max(1, count - 1);
  const along = below ? (width - (others - 1) * gap) / others : ((height - (others - 1) * gap) / others) * aspect;
  const across = below ? height * STRIP_SHARE * aspect : width * STRIP_SHARE;
  const strip = Math.floor(Math.max(0, Math.min(along, across, STRIP_MOST)));
  const left = below ? [width, height - gap - strip / aspect] : [width - gap - strip, height];
  return { below, strip, side: largest(1, left[0], left[1], aspect, gap).side };
}
