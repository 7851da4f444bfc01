// A place: one of the others at the table: the hologram, the name, and what is to be said where there is none.

import { Hologram } from "../shared/hologram.js";
import { Playback } from "../shared/whep.js";
import { ofSeat } from "./words.js";

const FAN_DEGREES = 35;
const MUTED = '<svg class="muted" viewBox="0 0 24 24" aria-hidden="true"><rect x="9" y="3.5" width="6" height="11" rx="3"/><path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3M4 4l16 16"/></svg>';

/** @param {any} form as the server tells it @returns {import("../shared/tiling.js").Screen} */
export function screenOf({ columns, rows, views, width, height }) {
  const yaws = Array.from({ length: views }, (_, view) => (views > 1 ? (view / (views - 1) - 0.5) * FAN_DEGREES : 0));
  return { columns, rows, quilt_width: width, quilt_height: height, aspect: width / columns / (height / rows), yaws_degrees: yaws };
}

/** Whether a picture of this size may be tiled so: its sides may be fewer pixels, in the same proportion. */
const fits = ({ width, height }, across, down) => Math.abs(across / down / (width / height) - 1) < 0.02;

const same = (form, other) => other !== null && ["columns", "rows", "views", "width", "height"].every((side) => form[side] === other[side]);

/** Fires "state" when its playback's changes, and "hushed" where the browser wants a gesture before it plays sound. */
export class Place extends EventTarget {
  #playback = null;
  #hologram;
  #video;
  /** The form that is drawn, and the one that is coming. */
  #form = null;
  #coming = null;
  #seat = null;
  #painted = false;

  /**
   * @param {{slider: HTMLInputElement, surface: HTMLElement, path: string, iceServers: RTCIceServer[], silent?: boolean}} means
   *   surface: where the pointer steers; silent: it is oneself
   */
  constructor({ slider, surface, path, iceServers, silent = false }) {
    super();
    this.path = path;
    this.iceServers = iceServers;
    this.root = document.createElement("li");
    this.root.className = "place";
    this.root.innerHTML = `<div class="glass"><canvas role="img"></canvas><video playsinline tabindex="-1" aria-hidden="true"></video>
      <div class="veil"><p class="veil-words"><strong></strong><span></span></p></div></div>
      <p class="plate">${MUTED}<span class="name"></span><small>AI avatar</small></p>`;
    this.#video = this.root.querySelector("video");
    this.#video.muted = this.silent = silent;
    this.#video.addEventListener("resize", () => this.#reform());
    this.#hologram = new Hologram({ video: this.#video, canvas: this.root.querySelector("canvas"), slider, surface });
  }

  get hologram() {
    return this.#hologram;
  }

  get state() {
    return this.#playback?.state ?? "stopped";
  }

  /** @param {import("./room.js").Seat} seat @param {any} form @param {boolean} speaking */
  show(seat, form, speaking) {
    this.#seat = seat;
    this.#coming = form;
    this.#reform();
    this.root.dataset.seat = String(seat.seat);
    this.root.dataset.speaking = String(speaking && !seat.muted);
    this.root.dataset.muted = String(seat.muted);
    this.root.querySelector(".name").textContent = seat.name;
    this.root.querySelector("canvas").setAttribute("aria-label", `AI avatar of ${seat.name}`);
    if (this.#playback) this.#playback.resting = this.#rests;
    const plays = ["live", "stalled"].includes(seat.publishing) && seat.state !== "away";
    if (plays && !this.#playback) this.#play();
    if (seat.publishing === "none" && this.#playback) this.rest();
    this.#veil();
  }

  /** No more is fetched; the last picture stays. */
  rest() {
    const playback = this.#playback;
    this.#playback = null;
    this.#hologram.stop();
    playback?.stop();
    this.#veil();
  }

  remove() {
    this.rest();
    this.root.remove();
  }

  /** Plays the sound: called from a tap, which browsers want first. */
  async sound() {
    this.#video.muted = this.silent;
    await this.#video.play().catch(() => undefined);
  }

  /** Where the viewer's head steers, if it does. @param {Hologram["look"]} look */
  set look(look) {
    this.#hologram.look = look;
  }

  /** No picture is to be expected just now: nobody would see it, or the link does not carry it. */
  get #rests() {
    return document.hidden || this.#coming?.columns === 0;
  }

  /** A tiling that was told counts from the first picture on that has its shape. */
  #reform() {
    const [form, { videoWidth, videoHeight }] = [this.#coming, this.#video];
    if (!form?.columns || (videoWidth && !fits(form, videoWidth, videoHeight)) || same(form, this.#form)) return;
    this.#form = form;
    const screen = screenOf(form);
    this.#hologram.setScreen(screen);
    this.root.style.setProperty("--aspect", String(screen.aspect));
  }

  #play() {
    const playback = new Playback(this.#video, this.path, { iceServers: this.iceServers });
    this.#playback = playback;
    playback.resting = this.#rests;
    playback.addEventListener("state", () => playback === this.#playback && this.#changed());
    playback.addEventListener("hushed", () => {
      this.#video.muted = true;
      void this.#video.play().catch(() => undefined);
      this.dispatchEvent(new Event("hushed"));
    });
    playback.start();
  }

  #changed() {
    if (this.state === "live") {
      this.#painted = true;
      this.#hologram.start();
    }
    this.#veil();
    this.dispatchEvent(new Event("state"));
  }

  #veil() {
    if (!this.#seat) return;
    const said = ofSeat(this.#seat, this.state, this.#coming?.columns === 0);
    this.root.dataset.state = said ? "veiled" : "live";
    this.root.dataset.busy = String(Boolean(said?.busy));
    this.root.dataset.painted = String(this.#painted);
    this.root.querySelector(".veil-words strong").textContent = said?.title ?? "";
    this.root.querySelector(".veil-words span").textContent = said?.text ?? "";
  }
}
