// Seats: where one of those who sit at a table lies in the table's video, as a screen whose tiles are cut to that seat. Pure.

const FAN_DEGREES = 35;

/**
 * @typedef {{seat: number, left: number, top: number, width: number, height: number}} SeatPlace shares of a view, from its top left
 * @typedef {{as: string, columns: number, rows: number, views: number, width: number, height: number, aspect: number,
 *            seats: SeatPlace[]}} TableForm as the message `form` gives it
 */

/**
 * What a hologram of one seat shows of the table's video: the same tiles, cut to that seat.
 * @param {TableForm} form @param {number} seat
 * @returns {import("./tiling.js").Screen | null} null where nobody sits there
 */
export function screenOfSeat(form, seat) {
  const place = form.seats.find((one) => one.seat === seat);
  if (!place || !form.views) return null;
  const yaws = Array.from({ length: form.views }, (_, view) => (form.views > 1 ? (view / (form.views - 1) - 0.5) * FAN_DEGREES : 0));
  const { columns, rows, width, height } = form;
  const aspect = (place.width * width * rows) / (place.height * height * columns);
  return { columns, rows, quilt_width: width, quilt_height: height, aspect, yaws_degrees: yaws, cut: place };
}

/** As display/seating.py turns those at the sides; nearer to the middle than so many pixels of a view is no side. */
const [TURN_DEGREES, BLOCK] = [6, 16];

/**
 * Degrees by which a seat at a table is turned towards the middle.
 * @param {TableForm} form @param {number} seat
 */
export function turnOf(form, seat) {
  const place = form.seats.find((one) => one.seat === seat);
  const away = place ? place.left + place.width / 2 - 0.5 : 0;
  return Math.abs(away) * (form.width / form.columns) <= BLOCK ? 0 : TURN_DEGREES * Math.sign(away);
}

/**
 * Whether a table's video already shows the form that was told: it changes at a keyframe, the message comes by another way.
 * @param {TableForm} form @param {{videoWidth: number, videoHeight: number}} video
 */
export function isShown(form, { videoWidth, videoHeight }) {
  return Math.abs(videoWidth * form.height - videoHeight * form.width) <= 2 * Math.max(form.width, form.height);
}
