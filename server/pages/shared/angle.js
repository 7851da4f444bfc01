// The angle that is shown: pure decisions, with the time as an argument. Knows nothing of pointers or pictures.

/** How long the shown angle takes to come two thirds of the way to where it is asked to be: by a hand, and by a head. */
const EASE_MS = 110;
const HEAD_EASE_MS = 40;
/** After pointer, keys or tilt were used, a head does not steer for so long. */
const HAND_HOLDS_MS = 3000;
/** A head that takes over does so gently at first. */
const TAKING_OVER_MS = 800;
const TAKING_OVER_EASE_MS = 300;
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
  #handUntil = -Infinity;
  /** Since when a head steers. @type {number|null} */
  #ledSince = null;

  /** @param {boolean} still true where motion that nobody asked for is unwelcome */
  constructor(still) {
    this.still = still;
    this.#swaysFrom = still ? Infinity : 0;
  }

  /** Somebody asks for this angle, by hand at `now`. @param {number} share @param {number} [now] milliseconds */
  aim(share, now = this.#last) {
    this.#target = Math.min(1, Math.max(0, share));
    this.#swaysFrom = Infinity;
    this.#handUntil = now + HAND_HOLDS_MS;
    this.#ledSince = null;
  }

  /**
   * A head asks for this angle with so much weight (head.js). A hand wins, and so does a wish for little motion.
   * @param {number} share @param {number} weight 0..1 @param {number} now milliseconds
   */
  lead(share, weight, now) {
    if (this.still || now < this.#handUntil) return;
    if (weight <= 0) {
      if (this.#ledSince !== null) this.release(now);
      this.#ledSince = null;
      return;
    }
    this.#ledSince ??= now;
    this.#swaysFrom = Infinity;
    this.#target = Math.min(1, Math.max(0, 0.5 + (share - 0.5) * weight));
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
    const part = this.still ? 1 : 1 - Math.exp(-passed / this.#easeAt(now, swaying));
    this.#shown += (this.#target - this.#shown) * part;
    if (Math.abs(this.#target - this.#shown) < 1e-4) this.#shown = this.#target;
    return this.#shown;
  }

  #easeAt(now, swaying) {
    if (swaying) return SWAY_EASE_MS;
    if (this.#ledSince === null) return EASE_MS;
    const gently = Math.max(0, 1 - (now - this.#ledSince) / TAKING_OVER_MS);
    return HEAD_EASE_MS + (TAKING_OVER_EASE_MS - HEAD_EASE_MS) * gently;
  }
}
