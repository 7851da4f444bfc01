// The hologram on the page: the canvas that shows one angle of an avatar, whoever paints it, and everything that steers the angle.

import { ShownAngle } from "./angle.js";
import { VideoPicture } from "./pictures.js";
import { degreesAt } from "./tiling.js";

/** Where drawing is done in software: a picture between two video frames would take time from decoding. */
const SLOW_PAUSE_MS = 40;
const TILT_RANGE_DEGREES = 22;
const KEY_STEP_DEGREES = 1.5;

/** What is painted, and by whom: a VideoPicture, or one that is drawn here. @typedef {{canvas: HTMLCanvasElement, slow: boolean, largest: number, dots: number, ready: boolean,
 *   canShow: (screen: import("./tiling.js").Screen) => boolean, fresh: (now: number) => boolean,
 *   paint: (screen: import("./tiling.js").Screen, share: number, now: number) => void}} Picture */

export class Hologram {
  #ofVideo;
  /** @type {Picture} */
  #picture;
  #slider;
  #angle;
  #screen = null;
  #sizes = new ResizeObserver(() => this.#fit());
  #painted = null;
  #paintedAt = 0;
  #pending = 0;
  #upright = null;
  /** Where the viewer's own head steers: what it asks for at a time. @type {((now: number) => {share: number, slide: number, weight: number})|null} */
  look = null;

  /**
   * @param {{video: HTMLVideoElement, canvas: HTMLCanvasElement, slider: HTMLInputElement, surface: HTMLElement}} parts
   *   surface: where the pointer steers the angle
   */
  constructor({ video, canvas, slider, surface }) {
    this.#slider = slider;
    this.#ofVideo = new VideoPicture(video, canvas);
    this.#angle = new ShownAngle(matchMedia("(prefers-reduced-motion: reduce)").matches);
    this.show(null);
    this.#followPointer(surface);
    slider.addEventListener("input", () => this.#aimAtDegrees(slider.valueAsNumber));
    slider.addEventListener("focus", () => this.#angle.aim(this.#angle.target)); // whoever takes hold of it ends the sway
  }

  /** From now on what this paints; null: the video. @param {Picture|null} picture */
  show(picture) {
    this.#picture = picture ?? this.#ofVideo;
    this.#sizes.disconnect();
    this.#sizes.observe(this.#picture.canvas);
    if (this.#screen) this.setScreen(this.#screen);
  }

  /** Shows what is in this video from now on. @param {HTMLVideoElement} video */
  watch(video) {
    if (this.#ofVideo.watch(video)) this.#painted = null;
  }

  /** Whether the quilts of `screen` can be shown here. @param {import("./tiling.js").Screen} screen */
  canShow(screen) {
    return this.#picture.canShow(screen);
  }

  /** @param {import("./tiling.js").Screen} screen */
  setScreen(screen) {
    this.#screen = screen;
    const yaws = screen.yaws_degrees;
    this.#slider.min = String(yaws[0]);
    this.#slider.max = String(yaws[yaws.length - 1]);
    this.#picture.canvas.style.aspectRatio = String(screen.aspect);
    this.#painted = null;
    this.#fit();
  }

  start() {
    if (!this.#pending) this.#pending = requestAnimationFrame((now) => this.#tick(now));
  }

  stop() {
    cancelAnimationFrame(this.#pending);
    this.#pending = 0;
  }

  /** Left and right arrow keys turn by a step. @param {KeyboardEvent} event */
  turnByKey(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!steps || !this.#screen || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.#aimAtDegrees(degreesAt(this.#screen, this.#angle.target) + steps * KEY_STEP_DEGREES);
  }

  /**
   * Lets the device's own tilt steer. Must be called from a tap: iOS asks its owner then.
   * @returns {Promise<boolean>} whether it is allowed
   */
  async followTilt() {
    const asks = globalThis.DeviceOrientationEvent?.requestPermission;
    if (asks && (await asks.call(DeviceOrientationEvent)) !== "granted") return false;
    this.#upright = null;
    addEventListener("deviceorientation", this.#tilted);
    return true;
  }

  ignoreTilt() {
    removeEventListener("deviceorientation", this.#tilted);
  }

  /** @param {DeviceOrientationEvent} event */
  #tilted = (event) => {
    const turned = Math.round((screen.orientation?.angle ?? 0) / 90) % 4;
    const lean = [event.gamma, event.beta, -(event.gamma ?? 0), -(event.beta ?? 0)][turned];
    if (lean === null || lean === undefined) return;
    this.#upright ??= lean;
    this.#upright += (lean - this.#upright) * 0.004; // however the device is held for long becomes straight ahead
    this.#angle.aim(0.5 + (lean - this.#upright) / (2 * TILT_RANGE_DEGREES));
  };

  /** @param {number} degrees */
  #aimAtDegrees(degrees) {
    const low = Number(this.#slider.min);
    this.#angle.aim((degrees - low) / (Number(this.#slider.max) - low));
  }

  /** @param {HTMLElement} surface */
  #followPointer(surface) {
    surface.addEventListener("pointermove", (event) => {
      const box = surface.getBoundingClientRect();
      this.#angle.aim((event.clientX - box.left) / box.width);
    });
    surface.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") this.#angle.release(performance.now());
    });
  }

  /** @param {number} now */
  #tick(now) {
    this.#pending = requestAnimationFrame((later) => this.#tick(later));
    const picture = this.#picture;
    if (!this.#screen || !picture.ready) return;
    this.#led(now);
    const share = this.#angle.at(now);
    const fresh = picture.fresh(now);
    if (!fresh && (share === this.#painted || (picture.slow && now - this.#paintedAt < SLOW_PAUSE_MS))) return;
    const wasSlow = picture.slow;
    picture.paint(this.#screen, share, now);
    if (picture.slow !== wasSlow) this.#fit();
    this.#painted = share;
    this.#paintedAt = now;
    this.#tell();
  }

  /** @param {number} now */
  #led(now) {
    if (!this.look) return;
    const { share, slide, weight } = this.look(now);
    this.#angle.lead(share, weight, now);
    const lifted = this.#angle.still ? "" : `0 ${(-100 * slide).toFixed(2)}%`;
    const { style } = this.#picture.canvas;
    if (style.translate !== lifted) style.translate = lifted;
  }

  /** The slider stands where the angle is going, so that easing never pulls it from under a finger. */
  #tell() {
    const rounded = Math.round(degreesAt(this.#screen, this.#angle.target) * 10) / 10;
    if (this.#slider.valueAsNumber !== rounded) this.#slider.value = String(rounded);
    const side = rounded < 0 ? "left" : "right";
    const words = Math.abs(rounded) < 0.5 ? "straight ahead" : `${Math.abs(Math.round(rounded))} degrees from the ${side}`;
    if (this.#slider.getAttribute("aria-valuetext") !== words) this.#slider.setAttribute("aria-valuetext", words);
  }

  #fit() {
    const { canvas, largest, dots: most } = this.#picture;
    const dots = Math.min(devicePixelRatio || 1, most);
    const { width, height } = canvas.getBoundingClientRect();
    if (!width || !height) return;
    const shrink = Math.min(1, largest / (Math.max(width, height) * dots));
    canvas.width = Math.round(width * dots * shrink);
    canvas.height = Math.round(height * dots * shrink);
    this.#painted = null;
  }
}
