// Layout: how many columns show a number of places largest in a space. Pure.

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
