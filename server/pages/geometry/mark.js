// Mark: the visible watermark, laid over every view as the server does it: the twin of display/label.py, whose letters and measures
// come with the asset. Pure.

/** @typedef {import("./figure.js").MarkPlan} Plan */

/** Numbers in rows. @typedef {{width: number, height: number, values: Float64Array}} Sheet */

/** How much of each pixel the letters cover. @param {Plan} plan @param {number} capital pixels @param {number} squeeze @returns {Sheet} */
function coverage({ lines, advance }, capital, squeeze) {
  const weight = Math.max(0.14, 1.15 / capital);
  const margin = 0.5 * weight + 1 / capital;
  const height = Math.ceil((1 + 2 * margin) * capital);
  const width = Math.ceil(((advance + 2 * margin) * capital) / squeeze);
  const nearest = new Float64Array(width * height).fill(Infinity);
  for (const line of lines) {
    for (let step = 2; step < line.length; step += 2) {
      const [beginX, beginY, endX, endY] = line.slice(step - 2, step + 2);
      eachPixel(width, height, (at, column, row) => {
        const x = ((column + 0.5) * squeeze) / capital - margin;
        const y = (row + 0.5) / capital - margin;
        nearest[at] = Math.min(nearest[at], distance(x - beginX, y - beginY, endX - beginX, endY - beginY));
      });
    }
  }
  return { width, height, values: nearest.map((far) => clip((0.5 * weight - far) * capital + 0.5)) };
}

/** From a point to a line's beginning and by (dx, dy) on from there. */
function distance(x, y, dx, dy) {
  const along = clip((x * dx + y * dy) / Math.max(dx * dx + dy * dy, 1e-9));
  return Math.sqrt((x - along * dx) ** 2 + (y - along * dy) ** 2);
}

const clip = (value) => Math.min(1, Math.max(0, value));

function eachPixel(width, height, visit) {
  for (let row = 0, at = 0; row < height; row += 1) for (let column = 0; column < width; column += 1, at += 1) visit(at, column, row);
}

/** The letters and their margin, smaller where there is no room, and cut where there is none at all. @returns {Sheet} */
function fitting(plan, capital, squeeze, height, width) {
  for (;;) {
    const [padY, padX] = [evenRound(0.38 * capital), evenRound((0.5 * capital) / squeeze)];
    const padded = paddedBy(coverage(plan, capital, squeeze), padX, padY);
    if ((padded.height <= height && padded.width <= width) || capital < plan.shortest) return cutTo(padded, width, height);
    capital *= 0.9;
  }
}

/** Halves to the even side, as Python and numpy do. */
function evenRound(value) {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 ? low + 1 : low;
}

function paddedBy({ width, height, values }, padX, padY) {
  const wide = { width: width + 2 * padX, height: height + 2 * padY };
  const all = new Float64Array(wide.width * wide.height);
  eachPixel(width, height, (at, column, row) => (all[(row + padY) * wide.width + column + padX] = values[at]));
  return { ...wide, values: all };
}

function cutTo(sheet, mostWide, mostHigh) {
  const [width, height] = [Math.min(sheet.width, mostWide), Math.min(sheet.height, mostHigh)];
  const values = new Float64Array(width * height);
  eachPixel(width, height, (at, column, row) => (values[at] = sheet.values[row * sheet.width + column]));
  return { width, height, values };
}

/** How much of a pixel a plate with round ends covers. */
function plateAt(column, row, width, height, squeeze) {
  const radius = height / 2;
  const [x, y] = [(column + 0.5) * squeeze, row + 0.5];
  const inside = Math.min(Math.max(x, radius), Math.max(width * squeeze - radius, radius));
  return clip(radius - Math.hypot(x - inside, y - radius) + 0.5);
}

/**
 * What is laid over a tile of these pixels, whose picture is shown at `aspect`: keep, how much of what is under it stays, in
 * 256ths, and add, what is added to it.
 * @param {number} width @param {number} height @param {number} aspect @param {Plan} plan
 * @returns {{left: number, top: number, width: number, height: number, keep: Uint16Array, add: Uint8Array}}
 */
export function markOf(width, height, aspect, plan) {
  const squeeze = (aspect * height) / width;
  const left = Math.min(Math.ceil((plan.safe * height) / squeeze), width - 1);
  const letters = fitting(plan, Math.max(plan.height * height, plan.smallest), squeeze, height, width - left);
  const top = Math.max(height - Math.ceil(plan.safe * height) - letters.height, 0);
  const keep = new Uint16Array(letters.values.length);
  const add = new Uint8Array(letters.values.length);
  eachPixel(letters.width, letters.height, (at, column, row) => {
    const plate = plan.plate * plateAt(column, row, letters.width, letters.height, squeeze);
    const light = plan.opacity * letters.values[at];
    keep[at] = evenRound((1 - plate) * (1 - light) * 256);
    add[at] = evenRound(light * 255);
  });
  return { left, top, width: letters.width, height: letters.height, keep, add };
}
