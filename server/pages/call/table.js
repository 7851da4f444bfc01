// The table: a place for each of the others, as large as they fit; and oneself, small, as a mirror or as the others see one.

import { part } from "../shared/notices.js";
import { largest } from "./layout.js";
import { Place } from "./place.js";

/** Fires "hushed" where the browser wants a tap before it plays sound. */
export class Table extends EventTarget {
  /** @type {RTCIceServer[]} */
  iceServers = [];
  #room;
  #call;
  /** @type {Map<number, Place>} */
  #places = new Map();
  #self = null;
  #look = null;

  /** @param {import("./room.js").Room} room @param {string} call */
  constructor(room, call) {
    super();
    this.#room = room;
    this.#call = call;
    new ResizeObserver(() => this.#arrange()).observe(part("places"));
  }

  draw() {
    const { others, form } = this.#room;
    for (const [seat, place] of this.#places) {
      if (others.some((one) => one.seat === seat)) continue;
      place.remove();
      this.#places.delete(seat);
    }
    for (const seat of others) {
      if (!this.#places.has(seat.seat)) this.#add(seat.seat);
      this.#places.get(seat.seat).show(seat, this.#room.formOf(seat.seat), this.#room.speaking.has(seat.seat));
    }
    const own = this.#room.own;
    if (own) this.#self?.show(own, form, false);
    this.#arrange();
  }

  /** @param {((now: number) => any)|null} look */
  set look(look) {
    this.#look = look;
    for (const place of this.#all) place.look = look;
  }

  /** After a tap. */
  sound() {
    for (const place of this.#places.values()) void place.sound();
  }

  /** @param {KeyboardEvent} event */
  turnByKey(event) {
    for (const place of this.#all) place.hologram.turnByKey(event);
  }

  /** @param {boolean} asOthers show oneself as the others do, or as a mirror */
  showSelf(asOthers) {
    part("self").dataset.as = asOthers ? "avatar" : "camera";
    part("self-switch").setAttribute("aria-pressed", String(asOthers));
    this.#self?.remove();
    this.#self = null;
    if (!asOthers) return;
    this.#self = this.#made(`whep/${this.#call}.${this.#room.me}?self=1`, true);
    part("self").prepend(this.#self.root);
    this.draw();
  }

  clear() {
    this.showSelf(false);
    for (const place of this.#places.values()) place.remove();
    this.#places.clear();
  }

  get #all() {
    return [...this.#places.values(), ...(this.#self ? [this.#self] : [])];
  }

  /** @param {number} seat */
  #add(seat) {
    const place = this.#made(`whep/${this.#call}.${seat}`, false);
    place.addEventListener("state", () => {
      if (place.state !== "live") this.#room.forms.delete(seat); // the next session begins with the whole form again
    });
    place.addEventListener("hushed", () => this.dispatchEvent(new Event("hushed")));
    this.#places.set(seat, place);
    part("places").append(place.root);
  }

  /** @param {string} path @param {boolean} silent */
  #made(path, silent) {
    const place = new Place({ slider: part("angle"), surface: part("table"), path, iceServers: this.iceServers, silent });
    place.look = this.#look;
    return place;
  }

  #arrange() {
    const list = part("places");
    const { clientWidth, clientHeight } = list;
    const { columns, side } = largest(this.#places.size, clientWidth, clientHeight);
    list.style.setProperty("--columns", String(columns));
    list.style.setProperty("--side", `${side}px`);
  }
}
