// Calibration files that this browser keeps, so that they are chosen once: by serial, the newest first.

import { keepList, recallList } from "../shared/storage.js";
import { CalibrationRejected, LARGEST_FILE, parse } from "./calibration.js";

const KEPT_GLASSES = "telequilt-looking-glasses";
const MOST = 8;

const texts = () => recallList(KEPT_GLASSES);

/** @param {string} text @returns {import("./bridge.js").Display|null} null where it has become unreadable */
function displayOf(text) {
  try {
    const calibration = parse(text);
    return { name: calibration.serial || "Looking Glass", source: "file", calibration, quilt: null, place: null, problems: [] };
  } catch {
    return null;
  }
}

/** @returns {import("./bridge.js").Display[]} */
export const keptGlasses = () => texts().map(displayOf).filter((one) => one !== null);

/** @param {File} file @returns {Promise<import("./bridge.js").Display>} @throws {CalibrationRejected} */
export async function keepFile(file) {
  const name = file.name.slice(0, 60);
  if (file.size > LARGEST_FILE) throw new CalibrationRejected(`${name} is larger than ${LARGEST_FILE} bytes, so it is no calibration.`);
  const text = await file.text();
  const { serial } = parse(text, name);
  keepList(KEPT_GLASSES, [text, ...others(serial)].slice(0, MOST));
  return displayOf(text);
}

/** @param {string} serial */
export const forgetFile = (serial) => keepList(KEPT_GLASSES, others(serial));

/** @param {string} serial */
const others = (serial) => texts().filter((text) => displayOf(text)?.calibration.serial !== serial);
