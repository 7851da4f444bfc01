// Agreeing: what everybody in a call is asked before anything of it leaves: being recorded, going out to another server.

import { agreed } from "../shared/asking.js";

/** @type {Record<string, (who: string, to: string) => {title: string, words: string}>} */
const QUESTIONS = {
  recording: (who) => ({
    title: "May this call be recorded?",
    words: `${who} wants to record everybody’s avatar and voice. It begins once all have agreed, and ends as soon as you take your yes back.`,
  }),
  handover: (who, to) => ({
    title: "May this call go out?",
    words: `${who} wants to send everybody’s avatar and voice to ${to}, and to whoever watches there. It begins once all have agreed, and ends as soon as you take your yes back.`,
  }),
};

export class Agreeing {
  /** @type {Set<string>} */
  #open = new Set();

  /**
   * Asks, unless the question stands there already.
   * @param {"recording"|"handover"} what @param {string} who wants it @param {string} to where it goes @param {(yes: boolean) => void} say
   */
  async ask(what, who, to, say) {
    if (this.#open.has(what)) return;
    this.#open.add(what);
    say(await agreed({ ...QUESTIONS[what](who, to), yes: "I agree", no: "No" }));
    this.#open.delete(what);
  }
}
