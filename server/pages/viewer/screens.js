// Which of this computer's screens is the Looking Glass. Needs the browser's Window Management, which asks its user once.

/** Whether this browser can tell screens apart. */
export const canTellScreens = () => "getScreenDetails" in globalThis;

/**
 * The screen that is the display `wanted`, or null where none looks like it. Throws where the browser was not allowed to tell.
 * @param {{calibration: {width: number, height: number, serial: string}, place: [number, number]|null}} wanted
 */
export async function screenOf(wanted) {
  return likeliest((await globalThis.getScreenDetails()).screens, wanted);
}

/**
 * Its serial in a screen's name says most, then the vendor's letters in it, then the panel's pixels, then the place that Bridge told.
 * @template {{label: string, left: number, top: number, width: number, height: number, devicePixelRatio: number}} T
 * @param {readonly T[]} screens
 * @param {{calibration: {width: number, height: number, serial: string}, place: [number, number]|null}} wanted
 * @returns {T|null}
 */
export function likeliest(screens, { calibration: { width, height, serial }, place }) {
  const score = (one) => {
    const pixels = [one.width, one.height].map((side) => Math.round(side * one.devicePixelRatio));
    const named = (serial.length > 4 && one.label.includes(serial) ? 8 : 0) + (one.label.includes("LKG") ? 4 : 0);
    const fits = pixels[0] === width && pixels[1] === height ? 2 : 0;
    return named || fits ? named + fits + Number(place?.[0] === one.left && place?.[1] === one.top) : 0;
  };
  const best = [...screens].sort((a, b) => score(b) - score(a))[0];
  return best && score(best) > 0 ? best : null;
}
