// A place: one of the others at the table: the hologram, the name, and what is to be said where there is none. What it shows comes by
// a video of its own, or is cut out of the one that shows everybody.

import { Hologram } from "../shared/hologram.js";
import { isShown, screenOfSeat } from "../shared/seats.js";
import { Playback } from "../shared/whep.js";
import { ofSeat } from "./words.js";

/** @typedef {{video: HTMLVideoElement, state: string, form: import("../shared/seats.js").TableForm}} Everybody in one video */

const FAN_DEGREES = 35;
const MUTED = '<svg class="muted" viewBox="0 0 24 24" aria-hidden="true"><rect x="9" y="3.5" width="6" height="11" rx="3"/><path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3M4 4l16 16"/></svg>';

const PIN = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 9V4h5m6 0h5v5m0 6v5h-5m-6 0H4v-5"/></svg>';

/** @param {any} form as the server tells it @returns {import("../shared/tiling.js").Screen} */
export function screenOf({ columns, rows, views, width, height }) {
  const yaws = Array.from({ length: views }, (_, view) => (views > 1 ? (view / (views - 1) - 0.5) * FAN_DEGREES : 0));
  return { columns, rows, quilt_width: width, quilt_height: height, aspect: width / columns / (height / rows), yaws_degrees: yaws };
}

/** Whether a picture of this size may be tiled so: its sides may be fewer pixels, in the same proportion. */
const fits = ({ width, height }, across, down) => Math.abs(across / down / (width / height) - 1) < 0.02;

const same = (form, other) => JSON.stringify(form) === JSON.stringify(other);

/** Fires "state" when its playback's changes, and "hushed" where the browser wants a gesture before it plays sound. */
export class Place extends EventTarget {
  #playback = null;
  #hologram;
  #video;
  /** How it is tiled that is drawn, and how that will be which is coming. */
  #form = null;
  #coming = null;
  #seat = null;
  #painted = false;
  #expected = false;
  /** @type {Everybody|null} */
  #everybody = null;

  /**
   * @param {{slider: HTMLInputElement, surface: HTMLElement, path: string, iceServers: RTCIceServer[], silent?: boolean, token?: string}} means
   *   surface: where the pointer steers; silent: it is oneself; token: not the page's own
   */
  constructor({ slider, surface, path, iceServers, silent = false, token }) {
    super();
    this.token = token;
    this.path = path;
    this.iceServers = iceServers;
    this.root = document.createElement("li");
    this.root.className = "place";
    this.root.innerHTML = `<div class="glass"><canvas role="img"></canvas><video playsinline tabindex="-1" aria-hidden="true"></video>
      <div class="veil"><p class="veil-words"><strong></strong><span></span></p></div></div>
      <p class="plate">${MUTED}<span class="name"></span><small>AI avatar</small></p>
      <button type="button" class="round small pin" aria-pressed="false">${PIN}<span class="unseen"></span></button>`;
    this.root.querySelector(".pin").addEventListener("click", () => this.dispatchEvent(new Event("pin")));
    this.#video = this.root.querySelector("video");
    this.#video.muted = this.silent = silent;
    this.#video.addEventListener("resize", () => this.#reform());
    this.#hologram = new Hologram({ video: this.#video, canvas: this.root.querySelector("canvas"), slider, surface });
  }

  get hologram() {
    return this.#hologram;
  }

  /** Of the playback that is shown. */
  get state() {
    return this.#everybody?.state ?? this.#playback?.state ?? "stopped";
  }

  /** @param {import("./room.js").Seat} seat @param {any} form of its own video @param {boolean} speaking @param {Everybody|null} everybody */
  show(seat, form, speaking, everybody) {
    this.#seat = seat;
    this.#coming = form;
    this.#everybody = everybody;
    this.root.dataset.seat = String(seat.seat);
    this.root.dataset.speaking = String(speaking && !seat.muted);
    this.root.dataset.muted = String(seat.muted);
    this.root.querySelector(".name").textContent = seat.name;
    this.root.querySelector(".pin span").textContent = `Show ${seat.name} large`;
    const what = seat.live ? "Live picture" : "AI avatar";
    this.root.querySelector("small").textContent = what;
    this.root.querySelector("canvas").setAttribute("aria-label", `${what} of ${seat.name}`);
    if (everybody) this.#stop();
    else this.#follow(seat);
    this.#hologram.watch(everybody?.video ?? this.#video);
    this.#reform();
    if (this.state === "live") this.#begin();
    this.#veil();
  }

  /** By a video of its own. @param {import("./room.js").Seat} seat */
  #follow(seat) {
    const [before, playback] = [this.#expected, this.#playback];
    this.#expected = ["live", "stalled"].includes(seat.publishing) && seat.state !== "away";
    if (playback) playback.resting = this.#rests;
    if (this.#expected && !playback) this.#play();
    // who was away comes back by the connection that was left standing, unless that went with what it showed
    else if (this.#expected && !before && playback.state !== "live") playback.start();
  }

  /** No more is fetched; the last picture stays. */
  rest() {
    this.#hologram.stop();
    this.#stop();
    this.#veil();
  }

  #stop() {
    const playback = this.#playback;
    this.#playback = null;
    playback?.stop();
  }

  remove() {
    this.rest();
    this.root.remove();
  }

  /** Plays the sound: called from a tap, which browsers want first. */
  sound() {
    this.#video.muted = this.silent;
    void this.#video.play().catch(() => undefined);
  }

  /** Whether it is the one that is shown large. @param {boolean} large */
  set pinned(large) {
    this.root.dataset.pinned = String(large);
    this.root.querySelector(".pin").setAttribute("aria-pressed", String(large));
  }

  /** Where the viewer's head steers, if it does. @param {Hologram["look"]} look */
  set look(look) {
    this.#hologram.look = look;
  }

  /** No picture is to be expected just now: nobody sends one, nobody would see it, or the link does not carry it. */
  get #rests() {
    return !this.#expected || document.hidden || this.#coming?.columns === 0;
  }

  /** A tiling that was told counts from the first picture on that has its shape. */
  #reform() {
    const [{ videoWidth, videoHeight }, everybody] = [this.#video, this.#everybody];
    if (everybody) return isShown(everybody.form, everybody.video) && this.#tile(screenOfSeat(everybody.form, this.#seat.seat));
    const form = this.#coming;
    if (form?.columns && (!videoWidth || fits(form, videoWidth, videoHeight))) this.#tile(screenOf(form));
  }

  /** @param {import("../shared/tiling.js").Screen|null} screen */
  #tile(screen) {
    if (!screen || same(screen, this.#form)) return;
    this.#form = screen;
    this.#hologram.setScreen(screen);
    this.root.style.setProperty("--aspect", String(screen.aspect));
    this.dispatchEvent(new Event("shape"));
  }

  /** Width through height. */
  get aspect() {
    return this.#form?.aspect ?? 1;
  }

  #begin() {
    this.#painted = true;
    this.#hologram.start();
  }

  #play() {
    const playback = new Playback(this.#video, this.path, { iceServers: this.iceServers, token: this.token });
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
    if (this.state === "live") this.#begin();
    this.#veil();
    this.dispatchEvent(new Event("state"));
  }

  #veil() {
    if (!this.#seat) return;
    const said = ofSeat(this.#seat, this.state, (this.#everybody?.form ?? this.#coming)?.columns === 0);
    this.root.dataset.state = said ? "veiled" : "live";
    this.root.dataset.busy = String(Boolean(said?.busy));
    this.root.dataset.painted = String(this.#painted);
    this.root.querySelector(".veil-words strong").textContent = said?.title ?? "";
    this.root.querySelector(".veil-words span").textContent = said?.text ?? "";
  }
}
