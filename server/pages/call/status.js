// Status: the pill that says whether one is in the call, and the banner over the table: what is wrong, or what has just happened.

import { inWordsOf } from "../shared/condition.js";
import { inWords, part, say } from "../shared/notices.js";

const BANNER_MS = 6000;

/**
 * How it goes with this page. talk, publication: their states, or nothing while there is none.
 * @typedef {{at: string, talk?: string, publication?: string, problem?: unknown, dark: boolean, own?: import("./room.js").Seat, strained: string,
 *   condition: {state: string, why: string}|null}} Going
 *   dark: one publishes, and nothing moves one's avatar; condition: how the server says that one's own picture goes
 */

/** @param {Going} going @returns {[boolean, string]} whether all is well, and what the pill says */
export function ofLine({ at, talk, publication, strained }) {
  if (at !== "call") return [false, at === "waiting" ? "Waiting" : "Not in the call"];
  if (talk !== "on") return [false, "Getting the line back"];
  if (publication === "lost") return [false, "Sending you again"];
  if (publication === "refused") return [false, "You are not seen"];
  return [true, strained ? "In the call, busy server" : "In the call"];
}

/** @param {Going} going @param {string} passing what has just happened @returns {string} what the banner says; empty where it need not be */
export function ofBanner({ talk, publication, problem, dark, own, condition }, passing) {
  if (talk === "lost") return "The line to the server is lost. Getting it back…";
  if (publication === "refused") return inWords(problem);
  if (publication === "lost") return "The others do not see you just now. Sending again…";
  if (passing) return passing;
  if (dark) return "Nothing moves your avatar: turn on your camera.";
  if (own?.muted && own.by === "host") return "The host has muted you. Press M to speak again.";
  return own?.camera ? inWordsOf(condition, "caller") : "";
}

export class Status {
  #going;
  #passing = "";
  #timer = 0;

  /** @param {() => Going} going */
  constructor(going) {
    this.#going = going;
  }

  show() {
    const going = this.#going();
    const [on, words] = ofLine(going);
    part("line").dataset.on = String(on);
    part("line").title = going.at === "call" ? going.strained : "";
    if (part("line-words").textContent !== words) part("line-words").textContent = words;
    if (going.at === "call") say(part("banner"), ofBanner(going, this.#passing));
  }

  /** Something to read for a moment. @param {string} words */
  tell(words) {
    this.#passing = words;
    clearTimeout(this.#timer);
    if (words) this.#timer = setTimeout(() => this.tell(""), BANNER_MS);
    this.show();
  }

  /** The same, said aloud by screen readers, politely. @param {string} words */
  announce(words) {
    part("said").textContent = words;
    this.tell(words);
  }
}
