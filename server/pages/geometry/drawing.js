// Drawing: whether a stage's avatar is drawn on this device, and what does it: decided anew for each session, and whenever the
// graphics card, the device's speed or whoever watches has it otherwise.

import { keep, recall } from "../shared/storage.js";
import { Actor } from "./actor.js";
import { Choice, NO_SHADERS } from "./choice.js";
import { DrawnPicture } from "./picture.js";
import { lacking, measured, SLOWEST_MS } from "./trial.js";

/** What this browser remembers of whoever watches. */
export const KEPT_WISH = "telequilt-drawn";

/** Fires "way" when what is said of it may have changed, and "again" when a session has to begin anew for it. */
export class Drawing extends EventTarget {
  actor = new Actor();
  /** Read it; setWish(), tooSlow() and refused() change it. */
  choice = new Choice(/** @type {any} */ (recall("local", KEPT_WISH)) ?? "auto");
  #root;
  /** @type {DrawnPicture|null} once something was drawn here */
  #picture = null;
  #tried = false;
  /** @type {"window"|"quilt"} */
  #as = "window";

  /** @param {HTMLElement} root with a canvas, beside which what is drawn comes */
  constructor(root) {
    super();
    this.#root = root;
    this.actor.addEventListener("changed", () => this.dispatchEvent(new Event("again")));
  }

  /** @param {import("./choice.js").Wish} wish of whoever watches, kept in this browser */
  setWish(wish) {
    keep("local", KEPT_WISH, wish);
    this.#choose(() => (this.choice.wish = wish));
  }

  /** Drawing it takes so long here, for a panel or at all: more than that of a stand-in. @param {number} milliseconds */
  tooSlow(milliseconds) {
    this.#choose(() => (this.choice.slow = milliseconds));
  }

  /** What draws has been refused by the graphics driver. */
  refused() {
    this.#choose(() => (this.choice.lacking = NO_SHADERS));
  }

  /** @param {() => void} change of what decides the way */
  #choose(change) {
    const before = this.choice.here;
    change();
    if (this.choice.here !== before) this.dispatchEvent(new Event("again"));
    this.dispatchEvent(new Event("way"));
  }

  /**
   * Whether this device is to draw what is live.
   * @param {{geometry: boolean, geometry_lacks: string|null}|null} facts of the channel, null where nobody is live @returns {Promise<boolean>}
   */
  async wanted(facts) {
    const drawn = await this.#decided(facts);
    this.dispatchEvent(new Event("way"));
    return drawn;
  }

  async #decided(facts) {
    const { choice } = this;
    if (choice.lost) return false;
    choice.preview = Boolean(facts?.geometry_preview);
    choice.refused = facts?.geometry === false ? (facts.geometry_lacks ?? "engine") : "";
    if (!facts?.geometry || choice.wish === "pictures") return false;
    choice.lacking ||= lacking();
    if (choice.lacking) return false;
    if (choice.wish === "auto" && !choice.preview && !this.#tried) await this.#try();
    return choice.here && this.#canDraw();
  }

  async #try() {
    this.#tried = true;
    const { width, height } = this.#root.getBoundingClientRect();
    const took = await measured(...[width, height].map((side) => Math.max(64, Math.round(side * devicePixelRatio))));
    this.choice.slow = took > SLOWEST_MS ? took : 0;
  }

  #canDraw() {
    try {
      this.#picture ??= this.#made();
      return true;
    } catch {
      this.choice.lacking = NO_SHADERS;
      return false;
    }
  }

  #made() {
    const picture = new DrawnPicture(this.actor, this.#root.querySelector("canvas"));
    picture.as = this.#as;
    picture.addEventListener("lost", () => this.#choose(() => (this.choice.lost = true)));
    picture.addEventListener("restored", () => this.#choose(() => (this.choice.lost = false)));
    picture.addEventListener("refused", () => this.refused());
    picture.addEventListener("slow", (event) => this.tooSlow(/** @type {CustomEvent} */ (event).detail));
    return picture;
  }

  /** @param {"window"|"quilt"} as one angle, or all of a quilt's */
  set as(as) {
    this.#as = as;
    if (this.#picture) this.#picture.as = as;
  }

  /** The hologram shows what is drawn here, or its video. @param {import("../shared/hologram.js").Hologram} hologram @param {boolean} drawn */
  showIn(hologram, drawn) {
    this.#root.dataset.drawn = drawn ? "here" : "server";
    hologram.show(drawn ? this.#picture : null);
    if (drawn) this.#root.querySelector("canvas").after(this.#picture.canvas);
    else this.#picture?.canvas.remove();
  }
}
