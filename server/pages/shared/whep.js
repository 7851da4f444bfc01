// Playing: one WebRTC connection in, by WHEP, and what to do when it is not there, full, or lost.

import { ask, Problem } from "./api.js";
import { exchange } from "./whip.js";

/** No new picture for this long, while the channel is played, counts as lost. */
const STALL_MS = 2500;
const FIRST_PICTURE_MS = 12000;
const LOOK_EVERY_MS = 500;
/** Until the first one has come. */
const LOOK_OUT_MS = 100;
const SHORTEST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 8000;

/** Who is moved by the records of a session, instead of pictures. @typedef {import("../geometry/actor.js").Actor} Actor */

/**
 * @param {string} path e.g. "whep/my-channel?as=quilt"
 * @param {import("./whip.js").Means} means
 * @param {Actor|null} actor
 * @returns {Promise<{session: import("./whip.js").Session, stream: MediaStream}>}
 */
async function receive(path, means, actor) {
  let stream = new MediaStream();
  const session = await exchange(path, (connection) => {
    stream = new MediaStream();
    if (actor) listen(connection, actor);
    else stream.addTrack(videoOf(connection).receiver.track);
    stream.addTrack(connection.addTransceiver("audio", { direction: "recvonly" }).receiver.track);
  }, { ...means, hears: true });
  if (actor) await enrol(actor, session);
  return { session, stream };
}

/** @param {RTCPeerConnection} connection */
function videoOf(connection) {
  const video = connection.addTransceiver("video", { direction: "recvonly" });
  preferH264(video);
  return video;
}

/** @param {RTCPeerConnection} connection @param {Actor} actor */
function listen(connection, actor) {
  actor.begin();
  const channel = connection.createDataChannel("motion", { ordered: false, maxRetransmits: 0 });
  channel.binaryType = "arraybuffer";
  channel.addEventListener("message", ({ data }) => void actor.hear(data, performance.now()));
}

/** Fetches what the session's records move, unless it is here already. @param {Actor} actor @param {import("./whip.js").Session} session */
async function enrol(actor, { address, abandon }) {
  const place = new URL(address);
  place.pathname += "/asset";
  try {
    const known = actor.etag ? { "If-None-Match": actor.etag } : {};
    const answer = await ask(place, { headers: known });
    await actor.enrol(await answer.arrayBuffer(), answer.headers.get("ETag") ?? "");
  } catch (failure) {
    if (failure.status === 304) return;
    abandon();
    throw failure;
  }
}

/** The server encodes quilts as H.264; the rest of what the browser knows stays in the offer. */
function preferH264(transceiver) {
  const known = globalThis.RTCRtpReceiver?.getCapabilities?.("video")?.codecs;
  if (!known || !transceiver.setCodecPreferences) return;
  const isH264 = (codec) => codec.mimeType.toLowerCase() === "video/h264";
  transceiver.setCodecPreferences([...known.filter(isH264), ...known.filter((codec) => !isH264(codec))]);
}

/** A path to play, or what finds it at each try: with who is moved by its records, where they come instead of pictures.
 * @typedef {string | (() => Promise<{path: string, actor: Actor|null}>)} Way */

/**
 * Keeps a channel playing in a video element. Fires "state" whenever `state` changes:
 * connecting, live, waiting (nobody publishes yet), warming (the server starts up), full (or too many have come from here), lost (was live; trying again), refused (will not try again), stopped.
 */
export class Playback extends EventTarget {
  #video;
  #way;
  /** Who is moved by what comes, where no pictures do. @type {Actor|null} */
  #actor = null;
  #means;
  #session = null;
  #round = 0;
  #timer = 0;
  #tries = 0;

  /** @param {HTMLVideoElement} video @param {Way} way @param {import("./whip.js").Means} [means] */
  constructor(video, way, means = {}) {
    super();
    this.#means = means;
    this.#video = video;
    this.#way = way;
    /** @type {"stopped"|"connecting"|"live"|"waiting"|"warming"|"full"|"lost"|"refused"} */
    this.state = "stopped";
    /** Whether no picture is to be expected, so that none is no loss. */
    this.resting = false;
    /** @type {Problem|null} why the last try failed */
    this.problem = null;
  }

  start() {
    this.stop();
    this.#become("connecting");
    this.#tries = 0;
    void this.#try(this.#round);
  }

  /** @param {Way} way plays this instead, from now on */
  switchTo(way) {
    this.#way = way;
    this.start();
  }

  stop() {
    this.#drop();
    this.#become("stopped");
  }

  /** Who is moved by what is played, if anybody is. */
  get actor() {
    return this.#actor;
  }

  /** The RTP receiver's connection while there is one, for statistics. */
  get connection() {
    return this.#session?.connection ?? null;
  }

  #become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }

  #drop() {
    this.#round += 1; // whatever is still under way belongs to an earlier round and undoes itself
    clearTimeout(this.#timer);
    this.#session?.abandon();
    this.#session = null;
    this.#video.srcObject = null;
  }

  async #try(round) {
    try {
      const { path, actor } = typeof this.#way === "string" ? { path: this.#way, actor: null } : await this.#way();
      if (round !== this.#round) return;
      this.#actor = actor;
      const { session, stream } = await receive(path, this.#means, actor);
      if (round !== this.#round) return session.abandon();
      this.#session = session;
      this.#video.srcObject = stream;
      this.#video.play().catch((failure) => {
        if (failure.name === "NotAllowedError") this.dispatchEvent(new Event("hushed")); // the browser wants a gesture first
      });
      this.#watch(round, performance.now(), -1);
    } catch (failure) {
      if (round !== this.#round) return;
      this.problem = failure instanceof Problem ? failure : new Problem(0, String(failure?.message ?? failure));
      this.#settle(this.problem);
    }
  }

  /** @param {Problem} problem */
  #settle(problem) {
    const { status, kind } = problem;
    if (status === 404) this.#become("waiting");
    else if (kind === "warming-up") this.#become("warming");
    else if (status === 503 || status === 429) this.#become("full");
    else if (status >= 400 && status < 500) return this.#become("refused");
    else if (this.state !== "waiting") this.#become("lost");
    this.#again(problem.retryAfter);
  }

  /** @param {number|null} seconds as the server wishes, or null for a growing pause */
  #again(seconds) {
    const growing = Math.min(LONGEST_WAIT_MS, SHORTEST_WAIT_MS * 1.8 ** this.#tries);
    this.#tries += 1;
    const round = this.#round;
    this.#timer = setTimeout(() => void this.#try(round), seconds ? seconds * 1000 : growing);
  }

  /** Looks at the decoder's own count, which also runs while the page is hidden; or at how many records came. */
  async #watch(round, since, counted) {
    const frames = this.#actor ? this.#actor.heard : await decoded(this.connection);
    if (round !== this.#round) return;
    const now = performance.now();
    if (frames > Math.max(counted, 0)) {
      this.#tries = 0;
      this.problem = null;
      this.#become("live");
    }
    const quiet = frames === counted && !this.resting ? now - since : 0;
    const broken = ["failed", "closed"].includes(this.connection?.connectionState ?? "closed");
    if (broken || quiet > (frames > 0 ? STALL_MS : FIRST_PICTURE_MS)) {
      this.#drop();
      if (this.state === "live") this.#become("lost");
      return this.#again(null);
    }
    const pause = frames > 0 ? LOOK_EVERY_MS : LOOK_OUT_MS;
    this.#timer = setTimeout(() => void this.#watch(round, frames === counted && !this.resting ? since : now, frames), pause);
  }
}

/** @param {RTCPeerConnection|null} connection */
async function decoded(connection) {
  if (!connection) return 0;
  for (const report of (await connection.getStats()).values()) {
    if (report.type === "inbound-rtp" && report.kind === "video") return report.framesDecoded ?? 0;
  }
  return 0;
}
