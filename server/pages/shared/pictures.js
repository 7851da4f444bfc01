// Pictures: a video's quilts on a canvas, one angle of them. For a Hologram, which asks when and from where.

import { FreshFrames } from "./frames.js";
import { painterFor } from "./painters.js";

/** A larger canvas shows no more of a 256-pixel tile. */
const LARGEST_SIDE = 1400;
/** Where drawing is done in software: what is larger than a tile is stretched as the page is put together, which happens anyway. */
const LARGEST_SLOW_SIDE = 256;

export class VideoPicture {
  /** Device pixels of a CSS pixel beyond which nobody sees more. */
  dots = 2;
  #video;
  #frames;
  /** Made when first needed: browsers have few contexts. @type {import("./painters.js").WebGLPainter|import("./painters.js").CanvasPainter|null} */
  #made = null;

  /** @param {HTMLVideoElement} video @param {HTMLCanvasElement} canvas */
  constructor(video, canvas) {
    this.canvas = canvas;
    this.#video = video;
    this.#frames = new FreshFrames(video);
  }

  get #painter() {
    this.#made ??= painterFor(this.canvas);
    this.canvas.dataset.painter = this.#made.kind;
    return this.#made;
  }

  /** Shows what is in this video from now on. @param {HTMLVideoElement} video @returns {boolean} whether that is another */
  watch(video) {
    if (video === this.#video) return false;
    this.#video = video;
    this.#frames = new FreshFrames(video);
    return true;
  }

  /** Whether this machine draws in software. */
  get slow() {
    return this.#made?.slow ?? false;
  }

  get largest() {
    return this.slow ? LARGEST_SLOW_SIDE : LARGEST_SIDE;
  }

  /** Whether the quilts of `screen` can be shown here. @param {import("./tiling.js").Screen} screen */
  canShow(screen) {
    return this.#painter.canShow(screen);
  }

  get ready() {
    return this.#video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA;
  }

  /** Whether there is a picture that there was not at the last call. */
  fresh() {
    const fresh = this.#frames.take();
    if (fresh) this.#painter.take(this.#video);
    return fresh;
  }

  /** @param {import("./tiling.js").Screen} screen @param {number} share of the fan */
  paint(screen, share) {
    this.#painter.paint(screen, share);
  }
}
