// Publication: one's own picture and sound on their way to the server, by WHIP, and again where that is lost.

import { publish } from "../shared/whip.js";
import { pause } from "./talk.js";

/** A connection that ICE calls disconnected may come back by itself for so long. */
const DISCONNECTED_MS = 2000;
/** These will not go away by asking again. */
const FINAL = ["seat-replaced", "no-such-seat", "no-such-call", "call-ended", "not-permitted", "unknown-avatar"];

/** Fires "state" whenever `state` changes: off, connecting, live, lost (trying again), refused (`problem` says why). */
export class Publication extends EventTarget {
  #path;
  #iceServers;
  #stream = null;
  #driver = "";
  #session = null;
  #round = 0;
  #tries = 0;
  #timer = 0;

  /** @param {string} path @param {RTCIceServer[]} iceServers */
  constructor(path, iceServers) {
    super();
    this.#path = path;
    this.#iceServers = iceServers;
    this.state = "off";
    this.problem = null;
  }

  /** Whether what is sent has sound. */
  get hasVoice() {
    return Boolean(this.#stream?.getAudioTracks().length);
  }

  /** Sends `stream` from now on, in the place of what was sent. @param {MediaStream} stream @param {string} driver what it is (drivers.js) */
  start(stream, driver) {
    this.#stream = stream;
    this.#driver = driver;
    this.#tries = 0;
    this.#become("connecting");
    this.again();
  }

  /** Begins anew: the server closes what there was once the new one stands. */
  again() {
    if (!this.#stream || this.state === "off") return;
    clearTimeout(this.#timer);
    this.#round += 1;
    void this.#try(this.#round);
  }

  stop() {
    this.#round += 1;
    clearTimeout(this.#timer);
    this.#session?.abandon();
    this.#session = null;
    this.#stream = null;
    this.#become("off");
  }

  async #try(round) {
    const before = this.#session;
    try {
      const session = await publish(`${this.#path}?driver=${this.#driver}`, this.#stream, { iceServers: this.#iceServers });
      if (round !== this.#round) return session.abandon();
      this.#session = session;
      before?.connection.close(); // not by DELETE: the server has put the new one into its place
      this.#watch(session.connection, round);
    } catch (failure) {
      if (round !== this.#round) return;
      this.problem = failure;
      if (FINAL.includes(failure.kind)) return this.#become("refused");
      this.#later(failure.retryAfter);
    }
  }

  /** @param {RTCPeerConnection} connection @param {number} round */
  #watch(connection, round) {
    let doubtful = 0;
    const look = () => {
      clearTimeout(doubtful);
      if (round !== this.#round) return;
      const state = connection.connectionState;
      if (state === "connected") {
        this.#tries = 0;
        this.problem = null;
        this.#become("live");
      } else if (state === "failed" || state === "closed") this.#later();
      else if (state === "disconnected") doubtful = setTimeout(() => round === this.#round && this.#later(), DISCONNECTED_MS);
    };
    connection.addEventListener("connectionstatechange", look);
    look();
  }

  /** @param {number|null} [seconds] as the server wishes */
  #later(seconds) {
    this.#become("lost");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.again(), Math.max(pause(this.#tries), 1000 * (seconds ?? 0)));
    this.#tries += 1;
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}
