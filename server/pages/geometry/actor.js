// Actor: an avatar as motion records move it: the newest pose, and the one it comes from. Newest wins, what comes late is dropped,
// and between two records it goes from one to the other within the time of one. Draws nothing; times are milliseconds of the page's clock.

import { figureOf } from "./asset.js";
import { opened, unpacked } from "./motion.js";

/** Between two pictures of a usual camera. */
const USUAL_SPAN_MS = 40;
const LONGEST_SPAN_MS = 100;
/** Whoever was not heard for so long is not followed from where it was. */
const JUMP_MS = 500;
const LEARNED_PART = 0.1;
const RATE_OVER_MS = 1000;

/** Fires "changed" when records move another asset than the one that is here. */
export class Actor extends EventTarget {
  /** @type {import("./figure.js").Figure|null} */
  figure = null;
  /** Counts poses. */
  generation = 0;
  /** @type {import("./figure.js").Pose|null} */
  before = null;
  /** @type {import("./figure.js").Pose|null} */
  after = null;
  /** How many records were shown. */
  heard = 0;
  #asset = null;
  #etag = "";
  #sequence = null;
  #since = -Infinity;
  #span = USUAL_SPAN_MS;
  #usual = USUAL_SPAN_MS;
  /** When they were captured, server's seconds, and came. */
  #captured = [0, 0];
  #came = 0;
  /** @type {[number, number][]} when and how many bytes */
  #lately = [];

  /** Where its asset is, and by what it is known; null for nobody yet. @returns {string} */
  get etag() {
    return this.#etag;
  }

  /** A session begins: its records count anew. */
  begin() {
    this.#sequence = null;
    this.heard = 0;
  }

  /** @param {ArrayBuffer} bytes of the asset @param {string} etag @throws {import("./glb.js").Unreadable} */
  async enrol(bytes, etag) {
    const figure = await figureOf(bytes);
    this.#etag = etag;
    this.#asset = parseInt(etag.replace(/^(W\/)?"/, "").slice(0, 8), 16);
    [this.before, this.after] = [figure.atRest(), figure.atRest()];
    this.figure = figure;
    this.generation += 1;
    this.#since = -Infinity;
  }

  /** A record has come at `now`. @param {ArrayBuffer} record @param {number} now @returns {Promise<void>} */
  async hear(record, now) {
    this.#count(now, record.byteLength);
    const { figure } = this;
    const sealed = figure && opened(record, figure.counts);
    if (!sealed || !this.#newer(sealed.sequence)) return;
    if (sealed.asset !== this.#asset) {
      this.dispatchEvent(new Event("changed"));
      return;
    }
    const motion = await unpacked(sealed, figure.counts);
    if (!motion || figure !== this.figure || !this.#newer(sealed.sequence)) return; // a newer one was quicker
    this.#sequence = sealed.sequence;
    this.#follow(figure.posed(motion), sealed.captured, now);
  }

  #newer(sequence) {
    return this.#sequence === null || ((sequence - this.#sequence) | 0) > 0;
  }

  #follow(pose, captured, now) {
    const passed = (captured - this.#captured[1]) * 1000;
    const jumps = this.heard === 0 || passed <= 0 || passed > JUMP_MS;
    if (!jumps) this.#usual += (Math.min(passed, LONGEST_SPAN_MS) - this.#usual) * LEARNED_PART;
    const mixture = this.mixture(now);
    this.before = jumps ? pose : between(this.before, this.after, mixture);
    this.#captured = [jumps ? captured : this.#captured[0] + (this.#captured[1] - this.#captured[0]) * mixture, captured];
    this.after = pose;
    this.#since = now;
    this.#came = now;
    this.#span = jumps ? 0 : Math.min(passed, this.#usual); // never behind by more than one record
    this.generation += 1;
    this.heard += 1;
  }

  /** How far it is from one pose to the other, 0..1. @param {number} now */
  mixture(now) {
    return this.#span > 0 ? Math.min(1, Math.max(0, (now - this.#since) / this.#span)) : 1;
  }

  /** How old what is shown is, milliseconds. @param {number} now @param {import("../shared/head.js").ServerClock} clock */
  age(now, clock) {
    const [before, after] = this.#captured;
    return now - clock.here(before + (after - before) * this.mixture(now), this.#came);
  }

  #count(now, bytes) {
    this.#lately.push([now, bytes]);
    while (now - this.#lately[0][0] > RATE_OVER_MS) this.#lately.shift();
  }

  /** Bits of motion in the last second. @param {number} now */
  rate(now) {
    return this.#lately.reduce((sum, [at, bytes]) => sum + (now - at <= RATE_OVER_MS ? 8 * bytes : 0), 0);
  }
}

/** @param {import("./figure.js").Pose} some @param {import("./figure.js").Pose} other @param {number} mixture */
function between(some, other, mixture) {
  const out = new Float32Array(some.length);
  for (let at = 0; at < out.length; at += 1) out[at] = some[at] + (other[at] - some[at]) * mixture;
  return out;
}
