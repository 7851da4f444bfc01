// Arranger: has a cloud arranged for what is to be drawn, in another thread. One waiting place: what is wanted last is done next.

import { Arrangement, arranged } from "./arrangement.js";

export class Arranger {
  /** How many arrangements have come. */
  arrived = 0;
  /** The newest. @type {import("./arrangement.js").Arranged|null} */
  newest = null;
  #cloud;
  /** @type {Worker|null} */
  #thread = null;
  /** Where a browser has no threads for it. @type {Arrangement|null} */
  #here = null;
  #number = 0;
  /** What is being arranged. @type {import("./arrangement.js").Wanted|null} */
  #asked = null;
  /** What may be written over. @type {{places: Float32Array, orders: Uint32Array}|undefined} */
  #spare;
  /** What is wanted after that. @type {import("./arrangement.js").Wanted|null} */
  #waiting = null;

  /** @param {import("./cloud.js").Cloud} cloud */
  constructor(cloud) {
    this.#cloud = cloud;
    try {
      this.#thread = new Worker(new URL("arranger_thread.js", import.meta.url), { type: "module" });
      this.#thread.addEventListener("message", ({ data }) => this.#take(data));
      this.#thread.addEventListener("error", () => this.#stay());
      this.#thread.postMessage({ points: cloud.points, targets: cloud.targets });
    } catch {
      this.#stay();
    }
  }

  /** Whether something is under way. */
  get busy() {
    return this.#asked !== null;
  }

  /** @param {Float32Array} pose @param {Float32Array} directions [V, 3] into the picture of each view */
  want(pose, directions) {
    const last = this.#waiting ?? this.#asked ?? this.newest;
    if (last && same(last.pose, pose) && same(last.directions, directions)) return;
    this.#number += 1;
    this.#waiting = { number: this.#number, pose, directions };
    if (!this.#asked) this.#ask();
  }

  /** Of the newest, which is used up: whoever has these lets go of them. @param {Float32Array} places @param {Uint32Array} orders */
  reuse(places, orders) {
    this.#spare = { places, orders };
  }

  end() {
    this.#thread?.terminate();
    this.#asked = this.#waiting = null;
  }

  #ask() {
    const spare = this.#spare;
    [this.#asked, this.#waiting, this.#spare] = [{ ...this.#waiting, spare }, null, undefined];
    if (this.#here) queueMicrotask(() => this.#asked && this.#take(arranged(this.#here, this.#asked)));
    else this.#thread.postMessage(this.#asked, spare ? [spare.places.buffer, spare.orders.buffer] : []);
  }

  #take(answer) {
    if (answer.number !== this.#asked?.number) return;
    this.newest = answer;
    this.arrived += 1;
    this.#asked = null;
    if (this.#waiting) this.#ask();
  }

  /** It is done in this thread from now on. */
  #stay() {
    this.#thread?.terminate();
    this.#thread = null;
    this.#here = new Arrangement(this.#cloud.points, this.#cloud.targets);
    if (this.#asked) {
      this.#waiting ??= this.#asked;
      this.#ask();
    }
  }
}

/** @param {Float32Array} some @param {Float32Array} others */
const same = (some, others) => some.length === others.length && some.every((number, at) => number === others[at]);
