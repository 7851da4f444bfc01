// The angle that is shown: pure decisions, with the time as an argument. Knows nothing of pointers or pictures.

/** How long the shown angle takes to come two thirds of the way to where it is asked to be. */
const EASE_MS = 110;
const SWAY_EASE_MS = 900;
const SWAY_PERIOD_MS = 9000;
const SWAY_SHARE = 0.3;
const REST_BEFORE_SWAY_MS = 8000;

/** An angle as a share of the fan: 0 is the leftmost view, 1 the rightmost. */
export class ShownAngle {
  #target = 0.5;
  #shown = 0.5;
  #last = 0;
  #swaysFrom;

  /** @param {boolean} still true where motion that nobody asked for is unwelcome */
  constructor(still) {
    this.still = still;
    this.#swaysFrom = still ? Infinity : 0;
  }

  /** Somebody asks for this angle. @param {number} share */
  aim(share) {
    this.#target = Math.min(1, Math.max(0, share));
    this.#swaysFrom = Infinity;
  }

  /** Whoever steered has left: after a rest the sway begins again. @param {number} now milliseconds */
  release(now) {
    if (!this.still) this.#swaysFrom = now + REST_BEFORE_SWAY_MS;
  }

  get target() {
    return this.#target;
  }

  /** The share to show at `now`, in milliseconds. @param {number} now */
  at(now) {
    const swaying = now >= this.#swaysFrom;
    if (swaying) {
      this.#target = 0.5 + SWAY_SHARE * Math.sin(((now - this.#swaysFrom) / SWAY_PERIOD_MS) * 2 * Math.PI);
    }
    const passed = Math.max(0, now - this.#last);
    this.#last = now;
    const part = this.still ? 1 : 1 - Math.exp(-passed / (swaying ? SWAY_EASE_MS : EASE_MS));
    this.#shown += (this.#target - this.#shown) * part;
    if (Math.abs(this.#target - this.#shown) < 1e-4) this.#shown = this.#target;
    return this.#shown;
  }
}
