// Rehearsal: oneself as the others will see one, before joining: a hologram of one's own, sent to this page alone.

import * as api from "../shared/api.js";
import { inWords, part } from "../shared/notices.js";
import { publish } from "../shared/whip.js";
import { Place } from "./place.js";

const LOOK_EVERY_MS = 1500;

/** Fires "state" whenever `state` changes: off, coming, on; "likeness", with `likeness`, once oneself was compared with the portrait. `problem`: why it ended, in words; empty where nobody has to know. */
export class Rehearsal extends EventTarget {
  #call;
  #round = 0;
  #place = null;
  #session = null;
  #path = "";
  #token = "";
  #name = "";
  state = "off";
  problem = "";
  likeness = "";

  /** @param {string} call */
  constructor(call) {
    super();
    this.#call = call;
  }

  /** @param {MediaStream} stream what drives it @param {{avatar: string}|{engine: string}} look @param {string} driver what `stream` is (drivers.js) */
  async start(stream, look, driver) {
    const left = this.stop();
    const round = this.#round;
    this.#become("coming");
    try {
      await left;
      const made = await api.tell(api.callPath(this.#call, "/rehearsals"), "POST", look);
      if (round !== this.#round) return void leave(api.callPath(this.#call, `/rehearsals/${made.number}`), made.token);
      [this.#path, this.#token] = [api.callPath(this.#call, `/rehearsals/${made.number}`), made.token];
      const session = await publish(`${made.whip}?driver=${driver}`, new MediaStream(stream.getVideoTracks()), { token: made.token, iceServers: made.ice_servers });
      if (round !== this.#round) return session.abandon();
      this.#session = session;
      this.#name = made.whip.split("/").pop() ?? "";
      this.#show(made, "engine" in look);
      void this.#compare(round);
    } catch (failure) {
      if (round !== this.#round) return;
      this.stop(failure.kind === "too-many-callers" ? "The server has no room to show you yourself just now. You can join all the same." : inWords(failure));
    }
  }

  /** @param {string} [why] @returns {Promise<unknown>} once the server has room again for what this took */
  stop(why = "") {
    this.#round += 1;
    this.#place?.remove();
    this.#session?.abandon();
    const left = this.#path ? leave(this.#path, this.#token) : Promise.resolve();
    this.#place = this.#session = null;
    this.#path = this.likeness = "";
    this.problem = why;
    this.#become("off");
    return left;
  }

  /** @returns {Promise<unknown>} once the server knows that the person shown agreed */
  confirm() {
    return api.confirmLikeness(this.#name, { headers: bearer(this.#token) });
  }

  /** Asks until the server has compared, or this is over. @param {number} round */
  async #compare(round) {
    while (round === this.#round && !this.likeness) {
      await new Promise((done) => setTimeout(done, LOOK_EVERY_MS));
      const facts = await api.channel(this.#name, { headers: bearer(this.#token) }).catch(() => ({}));
      if (round !== this.#round || !facts.likeness || facts.likeness === "not-compared") continue;
      this.likeness = facts.likeness;
      this.dispatchEvent(new Event("likeness"));
    }
  }

  /** @param {any} made as the server answers @param {boolean} live */
  #show({ number, whep, form, token, ice_servers: iceServers }, live) {
    const slider = Object.assign(document.createElement("input"), { type: "range" });
    const place = new Place({ slider, surface: part("rehearsal"), iceServers, silent: true, token });
    this.#place = place;
    place.addEventListener("state", () => place.state === "live" && this.#become("on"));
    part("rehearsal").replaceChildren(place.root);
    place.show({ seat: number, name: "You", role: "member", state: "present", publishing: "live", muted: true, camera: true, speaking: false, live }, { path: whep, form });
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}

/** @param {string} token */
const bearer = (token) => ({ Authorization: `Bearer ${token}` });

/** @param {string} path @param {string} token @returns {Promise<unknown>} */
const leave = (path, token) => api.ask(path, { method: "DELETE", keepalive: true, headers: bearer(token) }).catch(() => undefined);
