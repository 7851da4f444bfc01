// Whether this page meets a Looking Glass's panel pixel by pixel. One pixel beside it is nine degrees to the side, so what does
// not fit exactly is not shown at all. Decides from numbers; measure() takes them.

/**
 * @typedef {{ratio: number, pinch: number, zoom: number, window: [number, number], screen: [number, number],
 *   canvas: [number, number, number, number]}} Measured
 *   ratio: device pixels of a CSS pixel; pinch, zoom: of the page, 1 is none; window, screen: device pixels;
 *   canvas: left, top, width, height in device pixels
 * @typedef {{what: string, mend: string}} Fault in words for the person in front of it
 */

/** @param {HTMLCanvasElement} canvas @param {ResizeObserverSize|null} dots its device pixels where the browser tells them @returns {Measured} */
export function measure(canvas, dots) {
  const ratio = devicePixelRatio;
  const box = canvas.getBoundingClientRect();
  const full = Boolean(document.fullscreenElement) || matchMedia("(display-mode: fullscreen)").matches;
  return {
    ratio,
    pinch: visualViewport?.scale ?? 1,
    zoom: full && ratio !== 1 ? outerWidth / innerWidth : 1, // only without window borders is that the page's zoom
    window: [Math.round(innerWidth * ratio), Math.round(innerHeight * ratio)],
    screen: [Math.round(screen.width * ratio), Math.round(screen.height * ratio)],
    canvas: [box.left * ratio, box.top * ratio, dots?.inlineSize ?? box.width * ratio, dots?.blockSize ?? box.height * ratio],
  };
}

/**
 * What keeps the hologram from being right; nothing where every pixel of the canvas is the panel's.
 * @param {{width: number, height: number}} panel in pixels @param {Measured} seen
 * @returns {Fault[]} in the order in which they are to be mended
 */
export function faults(panel, seen) {
  const scaled = scaleFaults(seen);
  if (scaled.length) return scaled; // until then no size can be trusted
  if (!same(seen.window, [panel.width, panel.height])) return [sizeFault(panel, seen)];
  if (same(seen.canvas, [0, 0, panel.width, panel.height])) return [];
  return [{ what: "The picture does not meet the panel’s pixels.", mend: "Leave full screen and go there again." }];
}

/** @param {Measured} seen */
function* everyScaleFault({ ratio, pinch, zoom }) {
  if (pinch !== 1) yield { what: `The page is enlarged to ${percent(pinch)} by touch.`, mend: "Pinch it back to its own size." };
  if (Math.abs(zoom - 1) > 0.01) yield { what: `The page’s zoom is ${percent(zoom)}.`, mend: "Press Ctrl and 0 (on a Mac ⌘ and 0)." };
  else if (!Number.isInteger(ratio)) {
    yield {
      what: `This screen is scaled to ${percent(ratio)}.`,
      mend: "Set the scale of the Looking Glass to 100 % in the system’s display settings, and this page’s zoom too (Ctrl and 0).",
    };
  }
}

/** @param {Measured} seen */
const scaleFaults = (seen) => [...everyScaleFault(seen)];

/** @param {{width: number, height: number}} panel @param {Measured} seen @returns {Fault} */
function sizeFault({ width, height }, { screen: [across, down], window }) {
  if (same([across, down], [width, height])) {
    return { what: `This window has ${size(window)} pixels, not the panel’s ${size([width, height])}.`, mend: "Press F or double-click: full screen." };
  }
  if (same([across, down], [height, width])) {
    return {
      what: `This screen is turned by a quarter: ${size([across, down])} pixels, not ${size([width, height])}.`,
      mend: "Set the orientation of the Looking Glass in the system’s display settings.",
    };
  }
  return {
    what: `This window is on a screen of ${size([across, down])} pixels; the Looking Glass has ${size([width, height])}.`,
    mend: "Move the window onto the Looking Glass. If it is there already, set that resolution in the system’s display settings.",
  };
}

/** @param {number[]} some @param {number[]} others */
const same = (some, others) => some.every((value, at) => Math.abs(value - others[at]) < 0.01);

/** @param {[number, number]} sides */
export const size = ([across, down]) => `${across} × ${down}`;

/** @param {number} share */
const percent = (share) => `${Math.round(share * 100)} %`;
