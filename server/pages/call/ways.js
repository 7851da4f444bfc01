// Ways: by which session each of the others comes to this page: drawn here from geometry, as a quilt of its own, or within the one
// video that shows everybody at a table. Pure.

/** So many of a table's members may come as pictures of their own beside those that are drawn here; more come as one video. */
export const MOST_APART = 2;
/** Views of a seat of a table: as many as that one has. */
const TABLE_VIEWS = 8;

/** Whether there is something to be seen of one. @param {import("./room.js").Seat} seat */
export const isSent = ({ publishing }) => publishing === "live" || publishing === "stalled";

/**
 * Whether everybody at a table comes by a session of its own, instead of one video of all.
 * @param {import("./room.js").Seat[]} others @param {boolean} here whether this device draws
 */
export function apart(others, here) {
  const sent = others.filter(isSent);
  const drawn = sent.filter(({ geometry }) => geometry);
  return here && drawn.length > 0 && sent.length - drawn.length <= MOST_APART;
}

/**
 * @param {string} place e.g. "whep/CALL.3", or with "?self=1" @param {boolean} drawn from geometry, here
 * @param {boolean} table whether it would otherwise be in a table's video @returns {string} the path of its session
 */
export function pathOf(place, drawn, table) {
  const asked = drawn ? "as=geometry" : table ? `as=quilt&views=${TABLE_VIEWS}` : "";
  return asked ? `${place}${place.includes("?") ? "&" : "?"}${asked}` : place;
}
