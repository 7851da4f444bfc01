// The hologram on the page: a quilt video, the canvas that shows one angle of it, and everything that steers the angle.

import { ShownAngle } from "./angle.js";
import { FreshFrames } from "./frames.js";
import { painterFor } from "./painters.js";
import { degreesAt } from "./tiling.js";

/** A larger canvas shows no more of a 256-pixel tile. */
const LARGEST_SIDE = 1400;
/** Where drawing is done in software: a larger picture, or one between two video frames, would take time from decoding. */
const LARGEST_SLOW_SIDE = 448;
const SLOW_PAUSE_MS = 40;
const TILT_RANGE_DEGREES = 22;
const KEY_STEP_DEGREES = 1.5;

export class Hologram {
  #video;
  #canvas;
  #slider;
  #painter;
  #angle;
  #screen = null;
  #frames;
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
    this.#video = video;
    this.#canvas = canvas;
    this.#slider = slider;
    this.#painter = painterFor(canvas);
    this.#frames = new FreshFrames(video);
    this.#angle = new ShownAngle(matchMedia("(prefers-reduced-motion: reduce)").matches);
    canvas.dataset.painter = this.#painter.kind;
    this.#followPointer(surface);
    slider.addEventListener("input", () => this.#aimAtDegrees(slider.valueAsNumber));
    slider.addEventListener("focus", () => this.#angle.aim(this.#angle.target)); // whoever takes hold of it ends the sway
    new ResizeObserver(() => this.#fit()).observe(canvas);
  }

  /** Shows what is in this video from now on. @param {HTMLVideoElement} video */
  watch(video) {
    if (video === this.#video) return;
    this.#video = video;
    this.#frames = new FreshFrames(video);
    this.#painted = null;
  }

  /** Whether the quilts of `screen` can be shown here. @param {import("./tiling.js").Screen} screen */
  canShow(screen) {
    return this.#painter.canShow(screen);
  }

  /** @param {import("./tiling.js").Screen} screen */
  setScreen(screen) {
    this.#screen = screen;
    const yaws = screen.yaws_degrees;
    this.#slider.min = String(yaws[0]);
    this.#slider.max = String(yaws[yaws.length - 1]);
    this.#canvas.style.aspectRatio = String(screen.aspect);
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
    if (!this.#screen || this.#video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
    this.#led(now);
    const share = this.#angle.at(now);
    const fresh = this.#frames.take();
    if (!fresh && (share === this.#painted || (this.#painter.slow && now - this.#paintedAt < SLOW_PAUSE_MS))) return;
    if (fresh) this.#painter.take(this.#video);
    const wasSlow = this.#painter.slow;
    this.#painter.paint(this.#screen, share);
    if (this.#painter.slow !== wasSlow) this.#fit();
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
    if (this.#canvas.style.translate !== lifted) this.#canvas.style.translate = lifted;
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
    const dots = Math.min(devicePixelRatio || 1, 2);
    const { width, height } = this.#canvas.getBoundingClientRect();
    if (!width || !height) return;
    const largest = this.#painter.slow ? LARGEST_SLOW_SIDE : LARGEST_SIDE;
    const shrink = Math.min(1, largest / (Math.max(width, height) * dots));
    this.#canvas.width = Math.round(width * dots * shrink);
    this.#canvas.height = Math.round(height * dots * shrink);
    this.#painted = null;
  }
}
