// The optics of one display, as measured in its factory: what display/calibration.py reads on the server, read in the browser.

/** Bytes. Real ones have about a thousand. */
export const LARGEST_FILE = 1 << 20;
const WHERE = "A display’s calibration is LKG_calibration/visual.json on the USB drive that it brings; Looking Glass Bridge sends the same record.";
const LONGEST_SHOWN = 60;

/** What a display reports of itself cannot be used; the message names the field. */
export class CalibrationRejected extends Error {}

/**
 * @typedef {{pitch: number, slope: number, center: number, dpi: number, width: number, height: number, serial: string,
 *   viewCone: number, invertViews: boolean, flipImageX: boolean, flipSubpixels: boolean, cellMode: number,
 *   cells: [number, number][][], lensPitch: number, tilt: number, subpixel: number, stripes: number[], aspect: number}} Calibration
 *   pitch: lenses per inch; slope: run over rise; width, height: panel pixels; cells: (x, y) of red, green and blue from the
 *   pixel's centre, y up; lensPitch: lenses along a row of the panel; tilt: panel widths that a lens moves over the height;
 *   subpixel: distance of two stripes in panel widths; stripes: place of red, green and blue, in subpixels
 */

/**
 * @param {string|Record<string, any>} record as text or parsed
 * @param {string} [source] says in errors where it came from
 * @returns {Calibration} checked: every number is finite and within reason
 * @throws {CalibrationRejected}
 */
export function parse(record, source = "The calibration") {
  const fields = Fields.of(record, source);
  const mode = Object.hasOwn(fields.values, "cellPatternMode") ? "cellPatternMode" : "CellPatternMode";
  const measured = {
    pitch: fields.number("pitch", 1, 1000),
    slope: fields.number("slope", -1000, 1000),
    center: fields.number("center", -1000, 1000),
    dpi: fields.number("DPI", 10, 5000),
    width: fields.whole("screenW", 16, 16384),
    height: fields.whole("screenH", 16, 16384),
    serial: fields.text("serial"),
    viewCone: fields.number("viewCone", 1, 180, 40),
    invertViews: fields.flag("invView", true),
    flipImageX: fields.flag("flipImageX"),
    flipSubpixels: fields.flag("flipSubp"),
    cellMode: fields.whole(mode, 0, 4, 0),
    cells: cellsOf(fields),
  };
  if (Math.abs(measured.slope) < 0.01) throw fields.rejected("slope", "a number from 0.01 to 1000, or its negative");
  const calibration = { ...measured, ...derived(measured) };
  if (calibration.lensPitch > measured.width) {
    throw fields.rejected("pitch", `possible at ${measured.dpi} DPI: lenses would be narrower than a pixel`);
  }
  return calibration;
}

function derived({ pitch, slope, dpi, width, height, flipImageX, flipSubpixels }) {
  const mirror = flipImageX ? -1 : 1;
  return {
    lensPitch: ((pitch * width) / dpi) * Math.cos(Math.atan(1 / slope)),
    tilt: (mirror * height) / (width * slope),
    subpixel: mirror / (3 * width),
    stripes: flipSubpixels ? [2, 1, 0] : [0, 1, 2],
    aspect: width / height,
  };
}

/** @param {Fields} fields */
function cellsOf(fields) {
  const found = fields.values.subpixelCells || [];
  if (!Array.isArray(found)) throw fields.rejected("subpixelCells", "a list");
  return found.map((cell, index) => {
    const one = Fields.of(cell, `${fields.source}: subpixelCells[${index}]`);
    return [..."RGB"].map((colour) => [one.number(`${colour}OffsetX`, -16, 16), one.number(`${colour}OffsetY`, -16, 16)]);
  });
}

/** A JSON record from outside: every value is checked as it is taken, and the refusal names it. */
class Fields {
  /** @param {Record<string, any>} values @param {string} source */
  constructor(values, source) {
    this.values = values;
    this.source = source;
  }

  /** @param {unknown} record @param {string} source */
  static of(record, source) {
    let found = record;
    if (typeof record === "string") {
      if (!record.trim()) throw new CalibrationRejected(`${source} is empty. ${WHERE}`);
      try {
        found = JSON.parse(record.replace(/^\ufeff/, ""));
      } catch {
        throw new CalibrationRejected(`${source} is not JSON. ${WHERE}`);
      }
    }
    if (found === null || typeof found !== "object" || Array.isArray(found)) {
      throw new CalibrationRejected(`${source} is not a JSON object of named fields. ${WHERE}`);
    }
    return new Fields(found, source);
  }

  /** @param {string} name @param {string} wanted */
  rejected(name, wanted) {
    if (!Object.hasOwn(this.values, name)) return new CalibrationRejected(`${this.source}: ${name} is missing. ${WHERE}`);
    const shown = JSON.stringify(this.values[name]);
    const short = shown.length <= LONGEST_SHOWN ? shown : `${shown.slice(0, LONGEST_SHOWN - 1)}…`;
    return new CalibrationRejected(`${this.source}: ${name} is ${short}, not ${wanted}. ${WHERE}`);
  }

  /** @param {string} name @param {number} low @param {number} high @param {number} [fallback] @returns {number} */
  number(name, low, high, fallback) {
    const value = this.#bare(name) ?? fallback;
    if (typeof value === "number" && low <= value && value <= high) return value; // NaN is neither
    throw this.rejected(name, `a number from ${low} to ${high}`);
  }

  /** @param {string} name @param {number} low @param {number} high @param {number} [fallback] */
  whole(name, low, high, fallback) {
    const value = this.number(name, low, high, fallback);
    if (Number.isInteger(value)) return value;
    throw this.rejected(name, `a whole number from ${low} to ${high}`);
  }

  /** 0 or 1, as a number or a truth value. @param {string} name @param {boolean} [fallback] */
  flag(name, fallback = false) {
    const value = this.#bare(name);
    return typeof value === "boolean" ? value : this.number(name, 0, 1, Number(fallback)) >= 0.5;
  }

  /** Empty where there is none. @param {string} name @returns {string} */
  text(name) {
    const value = this.#bare(name) ?? "";
    if (typeof value === "string" && value.length <= 200) return value;
    throw this.rejected(name, "a short text");
  }

  /** Every value is either bare or wrapped as {"value": x}. @param {string} name */
  #bare(name) {
    const value = Object.hasOwn(this.values, name) ? this.values[name] : null;
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value.value : value;
  }
}
