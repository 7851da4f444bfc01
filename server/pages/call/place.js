// A place: one of the others at the table: the hologram, the name, and what is to be said where there is none. What it shows is drawn
// here, or comes by a video of its own, or is cut out of the one that shows everybody.

import { Actor } from "../geometry/actor.js";
import { DrawnTile } from "../geometry/studio.js";
import { Hologram } from "../shared/hologram.js";
import { isShown, screenOfSeat } from "../shared/seats.js";
import { Playback } from "../shared/whep.js";
import { isSent } from "./ways.js";
import { ofSeat } from "./words.js";

/** @typedef {{video: HTMLVideoElement, state: string, form: import("../shared/seats.js").TableForm}} Everybody in one video */

/** @typedef {{studio: import("../geometry/studio.js").Studio, aspect: number, turn: number}} Drawn here: what draws it; of its picture;
 *   degrees by which it is turned */
/** @typedef {{path: string, form?: any, speaking?: boolean, everybody?: Everybody|null, drawn?: Drawn|null}} How somebody is shown: path: of
 *   a session of its own, empty while that is not known; form: as the server tells it of that one */

const FAN_DEGREES = 35;
const MUTED = '<svg class="muted" viewBox="0 0 24 24" aria-hidden="true"><rect x="9" y="3.5" width="6" height="11" rx="3"/><path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3M4 4l16 16"/></svg>';

const PIN = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 9V4h5m6 0h5v5m0 6v5h-5m-6 0H4v-5"/></svg>';

/** @param {any} form as the server tells it @returns {import("../shared/tiling.js").Screen} */
export function screenOf({ columns, rows, views, width, height }) {
  const yaws = Array.from({ length: views }, (_, view) => (views > 1 ? (view / (views - 1) - 0.5) * FAN_DEGREES : 0));
  return { columns, rows, quilt_width: width, quilt_height: height, aspect: width / columns / (height / rows), yaws_degrees: yaws };
}

/** Of what is drawn here, as wide or as narrow as it is wanted. @param {number} aspect @returns {import("../shared/tiling.js").Screen} */
const screenDrawn = (aspect) => ({ columns: 1, rows: 1, quilt_width: 0, quilt_height: 0, aspect, yaws_degrees: [-FAN_DEGREES / 2, FAN_DEGREES / 2] });

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
  #actor = new Actor();
  /** @type {DrawnTile|null} once it was drawn here */
  #tile = null;
  /** @type {How} */
  #how;
  /** @type {Everybody|null} */
  #everybody = null;

  /**
   * @param {{slider: HTMLInputElement, surface: HTMLElement, iceServers: RTCIceServer[], silent?: boolean, token?: string}} means
   *   surface: where the pointer steers; silent: it is oneself; token: not the page's own
   */
  constructor({ slider, surface, iceServers, silent = false, token }) {
    super();
    this.token = token;
    this.iceServers = iceServers;
    this.root = document.createElement("li");
    this.root.className = "place";
    this.root.dataset.drawn = "server";
    this.root.innerHTML = `<div class="glass"><canvas role="img"></canvas><video playsinline tabindex="-1" aria-hidden="true"></video>
      <div class="veil"><p class="veil-words"><strong></strong><span></span></p></div></div>
      <p class="plate">${MUTED}<span class="name"></span><small>AI avatar</small></p>
      <button type="button" class="round small pin" aria-pressed="false">${PIN}<span class="unseen"></span></button>`;
    this.root.querySelector(".pin").addEventListener("click", () => this.dispatchEvent(new Event("pin")));
    this.#video = this.root.querySelector("video");
    this.#video.muted = this.silent = silent;
    this.#video.addEventListener("resize", () => this.#reform());
    this.#hologram = new Hologram({ video: this.#video, canvas: this.root.querySelector("canvas"), slider, surface });
    this.#actor.addEventListener("changed", () => this.#playback?.start()); // another avatar
  }

  get hologram() {
    return this.#hologram;
  }

  /** Of the playback that is shown. */
  get state() {
    return this.#everybody?.state ?? this.#playback?.state ?? "stopped";
  }

  /** @param {import("./room.js").Seat} seat @param {How} how */
  show(seat, how) {
    const { form = null, speaking = false, everybody = null } = how;
    const before = this.#how;
    this.#seat = seat;
    this.#how = how;
    this.#coming = form;
    this.#everybody = everybody;
    this.root.dataset.seat = String(seat.seat);
    this.root.dataset.speaking = String(speaking && !seat.muted);
    this.root.dataset.muted = String(seat.muted);
    this.root.querySelector(".name").textContent = seat.name;
    this.root.querySelector(".pin span").textContent = `Show ${seat.name} large`;
    const what = seat.live ? "Live picture" : "AI avatar";
    this.root.querySelector("small").textContent = what;
    for (const canvas of this.#canvases) canvas.setAttribute("aria-label", `${what} of ${seat.name}`);
    if (everybody) this.#stop();
    else this.#follow(seat, before !== undefined && before.path !== how.path);
    this.#hologram.watch(everybody?.video ?? this.#video);
    this.#reform();
    if (this.state === "live") this.#begin();
    this.#veil();
  }

  get #canvases() {
    return [this.root.querySelector("canvas"), ...(this.#tile ? [this.#tile.canvas] : [])];
  }

  /** By a session of its own. @param {import("./room.js").Seat} seat @param {boolean} otherwise than before */
  #follow(seat, otherwise) {
    const [before, playback] = [this.#expected, this.#playback];
    this.#expected = isSent(seat) && seat.state !== "away" && this.#how.path !== "";
    if (playback) playback.resting = this.#rests;
    if (this.#expected && !playback) this.#play();
    // who was away comes back by the connection that was left standing, unless that went with what it showed
    else if (this.#expected && (otherwise || (!before && playback.state !== "live"))) playback.start();
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
    this.#tile?.free();
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
    return !this.#expected || document.hidden || this.#heardOnly;
  }

  /** The link carries no picture. */
  get #heardOnly() {
    return !this.#how.drawn && (this.#everybody?.form ?? this.#coming)?.columns === 0;
  }

  /** A tiling that was told counts from the first picture on that has its shape. */
  #reform() {
    const [{ videoWidth, videoHeight }, everybody] = [this.#video, this.#everybody];
    if (this.root.dataset.drawn === "here") return this.#cut(this.#how.drawn && screenDrawn(this.#how.drawn.aspect));
    if (everybody) return isShown(everybody.form, everybody.video) && this.#cut(screenOfSeat(everybody.form, this.#seat.seat));
    const form = this.#coming;
    if (form?.columns && (!videoWidth || fits(form, videoWidth, videoHeight))) this.#cut(screenOf(form));
  }

  /** @param {import("../shared/tiling.js").Screen|null} screen */
  #cut(screen) {
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
    this.#showDrawn(this.#drawnNow);
    this.#hologram.start();
  }

  /** Whether what is shown is drawn here. */
  get #drawnNow() {
    return !this.#everybody && Boolean(this.#how.drawn && this.#playback?.actor && this.#playback.state === "live");
  }

  /** @param {boolean} drawn here, or a video is shown */
  #showDrawn(drawn) {
    if (drawn && this.#tile) this.#tile.turn = this.#how.drawn.turn;
    if (drawn === (this.root.dataset.drawn === "here")) return;
    this.root.dataset.drawn = drawn ? "here" : "server";
    if (drawn) this.#enter();
    this.#hologram.show(drawn ? this.#tile : null);
    if (!drawn) this.#tile?.canvas.remove();
    this.#form = null; // what is shown next is to be measured anew
    this.#reform();
  }

  #enter() {
    const [canvas] = this.#canvases;
    if (!this.#tile) {
      this.#tile = new DrawnTile(this.#actor, this.#how.drawn.studio);
      for (const name of ["role", "aria-label"]) this.#tile.canvas.setAttribute(name, canvas.getAttribute(name) ?? "");
    }
    this.#tile.turn = this.#how.drawn.turn;
    canvas.after(this.#tile.canvas);
  }

  #play() {
    const way = async () => ({ path: this.#how.path, actor: this.#how.drawn ? this.#actor : null });
    const playback = new Playback(this.#video, way, { iceServers: this.iceServers, token: this.token });
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
    const said = ofSeat(this.#seat, this.state, this.#heardOnly);
    this.root.dataset.state = said ? "veiled" : "live";
    this.root.dataset.busy = String(Boolean(said?.busy));
    this.root.dataset.painted = String(this.#painted);
    this.root.querySelector(".veil-words strong").textContent = said?.title ?? "";
    this.root.querySelector(".veil-words span").textContent = said?.text ?? "";
  }
}
