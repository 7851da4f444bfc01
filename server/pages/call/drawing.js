// Drawing: whether this device draws the others itself, all of them in one graphics context. Decided once for the whole table.

import { Choice, NO_SHADERS } from "../geometry/choice.js";
import { KEPT_WISH } from "../geometry/drawing.js";
import { Studio } from "../geometry/studio.js";
import { lacking, measured, SLOWEST_MS } from "../geometry/trial.js";
import { keep, recall } from "../shared/storage.js";

/** Fires "way" when it is decided, or has become otherwise. */
export class Drawing extends EventTarget {
  /** Whether it is known by now. */
  decided = false;
  #choice = new Choice(/** @type {any} */ (recall("local", KEPT_WISH)) ?? "auto");
  /** @type {Studio|null} */
  #studio = null;
  #space;
  #begun = false;

  /** @param {HTMLElement} space that all of them have together */
  constructor(space) {
    super();
    this.#space = space;
  }

  /** What draws them, where that is this device. @returns {Studio|null} */
  get studio() {
    return this.decided && this.#choice.here ? this.#studio : null;
  }

  get words() {
    return this.#choice.words;
  }

  /** What the switch does; empty where there is nothing to choose. */
  get offer() {
    return this.decided && this.#choice.free ? this.#choice.offer : "";
  }

  /** Finds out, the first time that somebody could be drawn. */
  decide() {
    if (this.#begun) return;
    this.#begun = true;
    void this.#find().then(() => {
      this.decided = true;
      this.dispatchEvent(new Event("way"));
    });
  }

  /** Have it the other way, from now on. */
  turn() {
    this.#choice.wish = this.#choice.here ? "pictures" : "here";
    keep("local", KEPT_WISH, this.#choice.wish);
    if (this.#choice.here) this.#make();
    this.dispatchEvent(new Event("way"));
  }

  async #find() {
    const choice = this.#choice;
    choice.lacking = lacking();
    if (choice.lacking || choice.wish === "pictures") return;
    const { width, height } = this.#space.getBoundingClientRect();
    const took = await measured(...[width, height].map((side) => Math.max(64, Math.round(side * devicePixelRatio))));
    choice.slow = took > SLOWEST_MS ? took : 0;
    if (choice.here) this.#make();
  }

  #make() {
    try {
      this.#studio ??= this.#made();
    } catch {
      this.#choice.lacking = NO_SHADERS;
    }
    if (this.#studio) this.#studio.slow = this.#choice.slow > 0;
  }

  #made() {
    const studio = new Studio();
    for (const [event, lost] of [["lost", true], ["restored", false]]) {
      studio.addEventListener(event, () => {
        this.#choice.lost = lost;
        this.dispatchEvent(new Event("way"));
      });
    }
    studio.addEventListener("refused", () => {
      this.#choice.lacking = NO_SHADERS;
      this.dispatchEvent(new Event("way"));
    });
    studio.addEventListener("slow", (event) => {
      this.#choice.slow = /** @type {CustomEvent} */ (event).detail;
      this.dispatchEvent(new Event("way"));
    });
    return studio;
  }
}
