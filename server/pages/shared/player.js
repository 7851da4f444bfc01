// The player, or stage: the glass with the hologram in it, and the words that stand there while there is none. Both pages have one.

import { Drawing } from "../geometry/drawing.js";
import { channel, screen } from "./api.js";
import { Hologram } from "./hologram.js";
import { tilingOf } from "./tiling.js";
import { Playback } from "./whep.js";

/** Plain words for each state of playback: a title and what will happen or can be done. */
const WORDS = {
  live: ["Live", "The hologram is playing."],
  connecting: ["Connecting", "Fetching the first picture."],
  waiting: ["Waiting for the caller", "The hologram appears as soon as somebody is live here."],
  warming: ["The server is warming up", "This takes a moment after it was started."],
  full: ["The server is full", "All places are taken just now. Trying again shortly."],
  lost: ["Connection lost", "Trying to get it back."],
  refused: ["This cannot be played", ""],
};

/** Conditions in which nobody is sent a new picture: the last one stays, and its standing still is no loss. */
const STANDING = ["still", "nothing-decoded", "devices-failing"];

const PREPARE_AGAIN_MS = 1000;

/** The ordinary-video form has no quilt; which form a mode plays. */
const FORM = { window: "quilt", quilt: "quilt", video: "view", hologram: "quilt" };

/** @param {import("./api.js").Problem|null} problem */
function whyRefused(problem) {
  if (problem?.kind !== "codec-unsupported") return problem?.message ?? "";
  return "Holograms are sent as H.264 video, which this browser cannot play. In Firefox, switch on the OpenH264 plugin under Add-ons; or use another browser.";
}

/** Fires "state" with the playback's states, "mode" when the shown mode changed, and "way" when it may come in another way: drawn here
 * from geometry, or as pictures. */
export class Stage extends EventTarget {
  #root;
  #video;
  #hologram;
  #playback = null;
  #channel = "";
  #drawing;

  /** @param {HTMLElement} root the element with class "stage" @param {HTMLInputElement} slider @param {HTMLElement} [surface] */
  constructor(root, slider, surface = root) {
    super();
    this.#root = root;
    this.#video = root.querySelector("video");
    this.#hologram = new Hologram({ video: this.#video, canvas: root.querySelector("canvas"), slider, surface });
    this.mode = "window";
    /** @type {import("./tiling.js").Tiling|null} of the quilts that are played, once one was */
    this.tiling = null;
    this.#drawing = new Drawing(root);
    this.#drawing.addEventListener("way", () => this.dispatchEvent(new Event("way")));
    this.#drawing.addEventListener("again", () => this.#again());
    this.#show("idle");
  }

  get state() {
    return this.#playback?.state ?? "stopped";
  }

  get problem() {
    return this.#playback?.problem ?? null;
  }

  get video() {
    return this.#video;
  }

  get hologram() {
    return this.#hologram;
  }

  /** Who is drawn here, while that is so. @type {import("../geometry/actor.js").Actor|null} */
  get actor() {
    return this.#playback?.actor ?? null;
  }

  /** Whether it is drawn here, why not, and how to have it otherwise. */
  get drawing() {
    return this.#drawing;
  }

  /** Plays the same channel by what is now the way. */
  #again() {
    if (this.#playback && FORM[this.mode] === "quilt") this.#playback.switchTo(() => this.#way());
  }

  /** @param {string} channel */
  play(channel) {
    this.stop();
    this.#channel = channel;
    this.#playback = new Playback(this.#video, () => this.#way());
    this.#playback.addEventListener("state", () => void this.#changed());
    this.#playback.start();
  }

  /** How the channel goes, as the server says. @param {import("./condition.js").Condition|null} condition null: there is no call */
  hear(condition) {
    if (this.#playback) this.#playback.resting = STANDING.includes(condition?.state ?? "");
  }

  stop() {
    this.#playback?.stop();
    this.#playback = null;
    this.#hologram.stop();
    this.#show("idle");
  }

  /** @param {"window"|"quilt"|"video"|"hologram"} mode; hologram draws elsewhere (lookingglass.js) */
  setMode(mode) {
    if (mode === this.mode) return;
    const newForm = FORM[mode] !== FORM[this.mode];
    if (mode === "hologram") this.#hologram.stop();
    if (this.mode === "hologram" && this.state === "live" && this.#playback) void this.#prepared(this.#playback);
    this.mode = mode;
    this.#root.dataset.mode = mode;
    this.#drawing.as = mode === "quilt" ? "quilt" : "window";
    if (newForm) this.#playback?.switchTo(() => this.#way());
    this.dispatchEvent(new Event("mode"));
  }

  /** What is asked for, and who is moved by it. @returns {Promise<{path: string, actor: import("../geometry/actor.js").Actor|null}>} */
  async #way() {
    const place = `whep/${encodeURIComponent(this.#channel)}`;
    if (FORM[this.mode] !== "quilt") return { path: `${place}?as=view`, actor: null };
    const facts = await channel(this.#channel).catch(() => null); // who may not draw is told so by an error: so it is asked first
    const drawn = await this.#drawing.wanted(facts);
    return drawn ? { path: `${place}?as=geometry`, actor: this.#drawing.actor } : { path: `${place}?as=quilt`, actor: null };
  }

  async #changed() {
    const playback = this.#playback;
    if (!playback) return;
    if (playback.state === "live" && !(await this.#prepared(playback))) return;
    if (playback !== this.#playback || playback.state === "stopped") return;
    this.#show(playback.state);
    this.dispatchEvent(new Event("state"));
  }

  /** Asks until the glass is ready for pictures, or something else has happened. @param {Playback} playback @returns {Promise<boolean>} */
  async #prepared(playback) {
    while (!(await this.#prepare())) {
      await new Promise((done) => setTimeout(done, PREPARE_AGAIN_MS));
      if (playback !== this.#playback || playback.state !== "live") return false;
    }
    return true;
  }

  /** The server may have been started anew, with another screen. @returns {Promise<boolean>} */
  async #prepare() {
    const [shown, live] = await Promise.all([screen(), channel(this.#channel)]).catch(() => [null, null]);
    if (!shown || !live) return false;
    this.tiling = tilingOf(shown, live.parallel);
    this.#drawing.showIn(this.#hologram, this.actor !== null);
    if (this.mode !== "hologram" && !this.#hologram.canShow(shown)) {
      this.setMode("video");
      return true;
    }
    this.#hologram.setScreen(shown);
    this.#root.style.setProperty("--aspect", String(shown.aspect));
    this.#root.style.setProperty("--quilt-aspect", String(shown.quilt_width / shown.quilt_height));
    if (this.mode !== "hologram") this.#hologram.start();
    return true;
  }

  /** What is to be said instead of the ordinary words, if anything. @param {string} state @returns {string} */
  #why(state) {
    const { problem } = this;
    if (state === "refused") return whyRefused(problem);
    if (state === "waiting" && problem?.ended) return `The server ended the call: ${problem.ended}. It is seen here once it goes on.`;
    return state === "full" ? (problem?.message ?? "") : "";
  }

  /** @param {string} state */
  #show(state) {
    this.#root.dataset.state = state;
    const [title, text] = WORDS[state] ?? ["", ""];
    const problem = this.#why(state);
    const veil = this.#root.querySelector(".veil-words");
    if (!veil || state === "idle") return;
    veil.querySelector("strong").textContent = title;
    veil.querySelector("span").textContent = problem || text;
  }
}
