// The room: who is in a call and how it goes, as its socket tells. Pure: messages in, what is to be said aloud out.

import { sentence } from "./words.js";

/**
 * @typedef {{seat: number, name: string, role: "host"|"member"|"viewer"|"recorder", state: "waiting"|"joining"|"present"|"away"|"gone",
 *            publishing: "none"|"connecting"|"live"|"stalled", muted: boolean, by?: "self"|"host", camera: boolean, speaking: boolean,
 *            plain?: boolean, geometry?: boolean}} Seat as the server tells of it
 */

/** Why somebody is gone, after the name. @type {Record<string, string>} */
const GONE = { left: "left", removed: "was taken out by the host", lost: "did not come back", denied: "was not let in", unanswered: "was not let in" };

/** Why a recording, or going out, ended that needs no explanation. */
const MEANT = "asked to";

const publishes = ({ role }) => role === "host" || role === "member";

export class Room {
  constructor() {
    /** One's own number. */
    this.me = 0;
    /** @type {Map<number, Seat>} */
    this.seats = new Map();
    this.title = "";
    this.locked = false;
    /** How pictures are sent, where nothing else is told of one of them. @type {any} */
    this.form = null;
    /** Of the one video that shows everybody, while there is one (seats.js). @type {import("../shared/seats.js").TableForm|null} */
    this.table = null;
    /** How each seat is sent to this page, as its link carries it. @type {Map<number, any>} */
    this.forms = new Map();
    /** Since when, on the server's clock. @type {number|null} */
    this.recording = null;
    /** Where it goes out to, and since when. @type {{to: string, since: number}|null} */
    this.handover = null;
    /** Where a host may send it out to: what the operator lists. @type {string[]} */
    this.handoverHosts = [];
    /** Who wants what: a seat, 0 for who runs the server. @type {Record<"recording"|"handover", {by: number, to?: string}|null>} */
    this.asking = { recording: null, handover: null };
    /** @type {Set<number>} */
    this.speaking = new Set();
    this.loudest = null;
    /** How one's own picture goes. @type {{state: string, why: string}|null} */
    this.condition = null;
    /** What the server says of itself, in its words. */
    this.strained = "";
  }

  /** @returns {Seat|undefined} */
  get own() {
    return this.seats.get(this.me);
  }

  get hosting() {
    return this.own?.role === "host";
  }

  /** The others who are shown: those who publish and are in. @returns {Seat[]} in the order of their seats */
  get others() {
    return this.#listed((one) => one.seat !== this.me && publishes(one) && one.state !== "waiting");
  }

  /** Who only watches. @returns {Seat[]} */
  get watchers() {
    return this.#listed((one) => !publishes(one) && one.state !== "waiting");
  }

  /** Who waits to be let in. @returns {Seat[]} */
  get waiting() {
    return this.#listed((one) => one.state === "waiting" && one.seat !== this.me);
  }

  /** @param {number} seat how it is sent to this page @returns {any} */
  formOf(seat) {
    return this.forms.get(seat) ?? this.form;
  }

  nameOf(number) {
    return this.seats.get(number)?.name ?? (number === 0 ? "Whoever runs this server" : "Somebody");
  }

  /**
   * Takes in one message.
   * @param {any} message @returns {string[]} what is to be said aloud
   */
  hear(message) {
    const work = { welcome: this.#welcome, seat: this.#seat, gone: this.#gone, call: this.#call, speaking: this.#spoke, form: this.#formed,
                   asking: this.#asked, recording: this.#recorded, handover: this.#handedOver, problem: this.#problem, condition: this.#fared }[message.t];
    return work?.call(this, message) ?? [];
  }

  #listed(wanted) {
    return [...this.seats.values()].filter(wanted).sort((one, other) => one.seat - other.seat);
  }

  #welcome({ seat, seats, title, locked, form, recording, handover = null, handover_hosts = [] }) {
    const first = this.me === 0;
    this.me = seat;
    this.condition = null;
    const before = this.seats;
    this.seats = new Map(seats.map((row) => [row.seat, row]));
    this.speaking = new Set(seats.filter((row) => row.speaking).map((row) => row.seat));
    const table = form?.as === "table" ? form : null;
    Object.assign(this, { title, locked, table, form: table ? this.form : form, recording: recording?.since ?? null, handover, handoverHosts: handover_hosts });
    this.asking = { recording: null, handover: null };
    if (first) return [];
    const came = [...this.seats.values()].filter((row) => !before.has(row.seat) && row.seat !== seat).map((row) => `${row.name} is here.`);
    const left = [...before.values()].filter((row) => !this.seats.has(row.seat)).map((row) => `${row.name} has left.`);
    return [...came, ...left];
  }

  #seat({ t, n, ...changed }) {
    const before = this.seats.get(changed.seat);
    const now = { ...before, ...changed };
    if (changed.muted === false) delete now.by;
    this.seats.set(changed.seat, now);
    return sayOf(before, now, this.me);
  }

  #gone({ seat, why }) {
    const { name, state } = this.seats.get(seat) ?? {};
    this.seats.delete(seat);
    this.speaking.delete(seat);
    return name && state !== "waiting" ? [`${name} ${GONE[why] ?? "left"}.`] : [];
  }

  #call({ locked, title }) {
    const said = locked === undefined || locked === this.locked ? [] : [locked ? "The call is locked." : "The call is open again."];
    if (locked !== undefined) this.locked = locked;
    if (title !== undefined) this.title = title;
    return said;
  }

  #fared({ state, why }) {
    this.condition = { state, why };
  }

  #spoke({ seats, loudest }) {
    this.speaking = new Set(seats);
    this.loudest = loudest;
  }

  #formed({ t, n, ...form }) {
    if (form.as === "table") this.table = form;
    else if (form.of && !form.seats) this.forms.set(form.of, form); // by its own link; the others are told to everybody
    else Object.assign(this, { form, table: null });
  }

  #asked({ what, by, to }) {
    this.asking[what] = { by, to };
    return [what === "handover" ? `${this.nameOf(by)} wants to send this call out to ${to}.` : `${this.nameOf(by)} wants to record this call.`];
  }

  #recorded({ since, why }) {
    const ended = since === null && (this.recording !== null || this.asking.recording !== null);
    this.recording = since;
    this.asking.recording = null;
    if (since !== null) return ["This call is being recorded."];
    if (!ended) return [];
    return [why && why !== MEANT ? `There is no recording: ${why}.` : "The recording has ended."];
  }

  #handedOver({ since, to, why }) {
    const ended = since === null && (this.handover !== null || this.asking.handover !== null);
    this.handover = since === null ? null : { since, to };
    this.asking.handover = null;
    if (since !== null) return [`This call goes out to ${to}.`];
    if (!ended) return [];
    return [why && why !== MEANT ? `This call does not go out: ${why}.` : "This call goes out no more."];
  }

  #problem({ type, detail }) {
    if (type?.endsWith("capacity-lost")) this.strained = sentence(detail);
    else if (type?.endsWith("capacity-back")) this.strained = "";
    else return [sentence(detail)];
    return this.strained ? [this.strained] : [];
  }
}

/** @param {Seat|undefined} before @param {Seat} now @param {number} me @returns {string[]} */
function sayOf(before, now, me) {
  if (now.seat === me) return now.muted && now.by === "host" && !before?.muted ? ["The host has muted you."] : [];
  if (now.state === "waiting") return before ? [] : [`${now.name} asks to come in.`];
  if (!before || before.state === "waiting") return [`${now.name} ${publishes(now) ? "joins" : "watches"}.`];
  if (before.state === "away" && now.state === "present") return [`${now.name} is back.`];
  if (before.state === "present" && now.state === "away") return [`${now.name} is away.`];
  return [];
}
