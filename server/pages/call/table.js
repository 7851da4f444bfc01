// The table: a place for each of the others, as large as they fit; and oneself, small, as a mirror or as the others see one.

import { part } from "../shared/notices.js";
import { Playback } from "../shared/whep.js";
import { turnOf } from "../shared/seats.js";
import { Drawing } from "./drawing.js";
import { largest, oneLarge } from "./layout.js";
import { Place } from "./place.js";
import { apart, isSent, pathOf } from "./ways.js";

/** Width through height of who is drawn here: a table's tiles are narrow, as the server's are (display/seating.py). */
const [ASPECT, ASPECT_AT_TABLE] = [1, 0.75];

/** The one video that shows everybody at the table, and the sound of all of them. Fires "state" and "hushed". */
class Everybody extends EventTarget {
  video = Object.assign(document.createElement("video"), { playsInline: true, className: "everybody", tabIndex: -1 });
  /** Whether it has been seen: before, each comes by a video of its own. */
  shown = false;
  #playback;

  /** @param {string} call @param {RTCIceServer[]} iceServers */
  constructor(call, iceServers) {
    super();
    this.video.setAttribute("aria-hidden", "true");
    part("table").append(this.video);
    this.#playback = new Playback(this.video, `whep/${call}?as=table`, { iceServers });
    this.#playback.addEventListener("state", () => {
      this.shown ||= this.state === "live";
      this.dispatchEvent(new Event("state"));
    });
    this.#playback.addEventListener("hushed", () => {
      this.video.muted = true;
      void this.video.play().catch(() => undefined);
      this.dispatchEvent(new Event("hushed"));
    });
    this.video.addEventListener("resize", () => this.dispatchEvent(new Event("state")));
    this.#playback.start();
  }

  get state() {
    return this.#playback.state;
  }

  /** @param {boolean} resting whether no picture is to be expected */
  set resting(resting) {
    this.#playback.resting = resting;
  }

  sound() {
    this.video.muted = false;
    void this.video.play().catch(() => undefined);
  }

  stop() {
    this.#playback.stop();
    this.video.remove();
  }
}

/** Fires "hushed" where the browser wants a tap before it plays sound. */
export class Table extends EventTarget {
  /** @type {RTCIceServer[]} */
  iceServers = [];
  #room;
  #call;
  /** @type {Map<number, Place>} */
  #places = new Map();
  #self = null;
  /** @type {Everybody|null} */
  #everybody = null;
  /** Who is shown large; 0: all alike. */
  #pinned = 0;
  #look = null;
  /** Whether the others are drawn on this device, and how to have it otherwise. */
  drawing = new Drawing(part("places"));

  /** @param {import("./room.js").Room} room @param {string} call */
  constructor(room, call) {
    super();
    this.#room = room;
    this.#call = call;
    new ResizeObserver(() => this.#arrange()).observe(part("places"));
  }

  draw() {
    const { others, own } = this.#room;
    if (others.some(({ geometry }) => geometry)) this.drawing.decide();
    this.#gather();
    for (const [seat, place] of this.#places) {
      if (others.some((one) => one.seat === seat)) continue;
      place.remove();
      this.#places.delete(seat);
    }
    const shown = this.#shown;
    for (const seat of others) {
      if (!this.#places.has(seat.seat)) this.#add(seat.seat);
      this.#places.get(seat.seat).show(seat, this.#how(seat, shown));
    }
    if (own) this.#self?.show(own, { ...this.#how(own, shown), speaking: false });
    this.#arrange();
  }

  /** @param {import("./room.js").Seat} seat @param {import("./place.js").Everybody|null} everybody @returns {import("./place.js").How} */
  #how(seat, everybody) {
    const { me, table, speaking } = this.#room;
    const { studio } = this.drawing;
    const place = `whep/${this.#call}.${seat.seat}${seat.seat === me ? "?self=1" : ""}`;
    const [aspect, turn] = table ? [ASPECT_AT_TABLE, turnOf(table, seat.seat)] : [ASPECT, 0];
    const drawn = seat.geometry && studio && !everybody ? { studio, aspect, turn } : null;
    const path = this.#finding ? "" : pathOf(place, drawn !== null, table !== null && this.#apart);
    return { path, form: this.#room.formOf(seat.seat), speaking: speaking.has(seat.seat), everybody, drawn };
  }

  /** Whether all who are seen are drawn here. */
  get drawn() {
    const seen = this.#room.others.filter(isSent);
    return this.drawing.studio !== null && !this.#everybody && seen.length > 0 && seen.every(({ geometry }) => geometry);
  }

  /** Fetches the one video of everybody while there is one, and not all come by sessions of their own. */
  #gather() {
    const { table, others } = this.#room;
    if (!table || this.#finding || this.#apart || !others.some(isSent)) {
      this.#everybody?.stop();
      this.#everybody = null;
    } else if (!this.#everybody) {
      this.#everybody = new Everybody(this.#call, this.iceServers);
      this.#everybody.addEventListener("state", () => this.draw());
      this.#everybody.addEventListener("hushed", () => this.dispatchEvent(new Event("hushed")));
    }
    if (this.#everybody) this.#everybody.resting = document.hidden || table?.views === 0;
  }

  /** Whether it is not known yet by which way they come. */
  get #finding() {
    return !this.drawing.decided && this.#room.others.some(({ geometry }) => geometry);
  }

  /** Whether everybody comes by a session of its own, though there is a table. */
  get #apart() {
    return apart(this.#room.others, this.drawing.studio !== null);
  }

  /** @returns {import("./place.js").Everybody|null} once it was seen */
  get #shown() {
    if (!this.#everybody?.shown || !this.#room.table) return null;
    return { video: this.#everybody.video, state: this.#everybody.state, form: this.#room.table };
  }

  /** @param {((now: number) => any)|null} look */
  set look(look) {
    this.#look = look;
    for (const place of this.#all) place.look = look;
  }

  /** After a tap. */
  sound() {
    this.#everybody?.sound();
    for (const place of this.#places.values()) place.sound();
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
    this.#self = this.#made(true);
    part("self").prepend(this.#self.root);
    this.draw();
  }

  clear() {
    this.showSelf(false);
    this.#everybody?.stop();
    this.#everybody = null;
    for (const place of this.#places.values()) place.remove();
    this.#places.clear();
  }

  get #all() {
    return [...this.#places.values(), ...(this.#self ? [this.#self] : [])];
  }

  /** @param {number} seat */
  #add(seat) {
    const place = this.#made(false);
    place.addEventListener("state", () => {
      if (place.state !== "live") this.#room.forms.delete(seat); // the next session begins with the whole form again
    });
    place.addEventListener("hushed", () => this.dispatchEvent(new Event("hushed")));
    place.addEventListener("shape", () => this.#arrange());
    place.addEventListener("pin", () => {
      this.#pinned = this.#pinned === seat ? 0 : seat;
      this.#arrange();
    });
    this.#places.set(seat, place);
    part("places").append(place.root);
  }

  /** @param {boolean} silent */
  #made(silent) {
    const place = new Place({ slider: part("angle"), surface: part("table"), iceServers: this.iceServers, silent });
    place.look = this.#look;
    return place;
  }

  #arrange() {
    const list = part("places");
    const count = this.#places.size;
    const large = count > 1 ? this.#places.get(this.#pinned) : undefined;
    const [first] = this.#places.values();
    const space = [count, list.clientWidth, list.clientHeight, first?.aspect ?? 1];
    const { columns = 1, side, strip = 0, below = false } = large ? oneLarge(...space) : largest(...space);
    Object.assign(list.dataset, { large: String(Boolean(large)), below: String(below), many: String(count > 1) });
    for (const [name, value] of [["--columns", columns], ["--side", `${side}px`], ["--strip", `${strip}px`], ["--others", count - 1]]) {
      list.style.setProperty(name, String(value));
    }
    for (const place of this.#places.values()) place.pinned = place === large;
  }
}
