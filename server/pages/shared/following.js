// Following: asks each second how a channel goes, once for all on the page that want to know.

import * as api from "./api.js";
import { ServerClock } from "./head.js";

const LOOK_EVERY_MS = 1000;

/** Fires "facts" with what GET /api/channels/{channel} gives, and "gone" once nobody is live there any more,
 * with why the server has ended the call, where it has. */
export class Following extends EventTarget {
  #channel = "";
  #timer = 0;
  /** The server's, as far as its answers tell. */
  clock = new ServerClock();

  /** @param {string} channel */
  follow(channel) {
    if (channel === this.#channel) return;
    this.leave();
    this.#channel = channel;
    void this.#look(channel);
  }

  leave() {
    clearTimeout(this.#timer);
    this.#channel = "";
  }

  /** @param {string} channel */
  async #look(channel) {
    try {
      const sent = performance.now();
      const facts = await api.channel(channel);
      this.clock.answered(sent, performance.now(), facts.now);
      if (channel !== this.#channel) return;
      this.dispatchEvent(new CustomEvent("facts", { detail: facts }));
    } catch (failure) {
      if (channel !== this.#channel) return;
      if (failure.status === 404) {
        this.leave();
        this.dispatchEvent(new CustomEvent("gone", { detail: failure.ended }));
        return;
      }
    } // else the next look may succeed; until then nothing is taken back
    this.#timer = setTimeout(() => void this.#look(channel), LOOK_EVERY_MS);
  }
}
