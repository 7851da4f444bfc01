// Recording a channel: the button, the sign that everybody here sees while anybody records, and what came of it.

import * as api from "./api.js";
import { inWords, part } from "./notices.js";

const LOOK_EVERY_MS = 1000;
const COMPLETED_AFTER_LOOKS = 5;
/** Ends that need no explanation. Any other is the server's own words. */
export const MEANT = ["asked to", "the caller left", "the server stops"];

/** @typedef {{name: string, since: number, seconds: number}} UnderWay */
/** @typedef {{name: string, seconds: number, lost: number, ended: string}} Recorded */

/** @param {number} seconds */
export const duration = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

/** Fires "ended" when a recording has. */
export class Recorder extends EventTarget {
  #channel = "";
  /** @type {UnderWay|null} */
  #going = null;
  #sign = document.createElement("p");
  #clock = document.createElement("span");

  /** @param {HTMLElement} glass where the sign stands */
  constructor(glass) {
    super();
    this.#sign.className = "recording-sign";
    this.#sign.hidden = true;
    const words = Object.assign(document.createElement("span"), { textContent: "Recording" });
    const dot = Object.assign(document.createElement("span"), { className: "dot" });
    for (const silent of [dot, this.#clock]) silent.ariaHidden = "true"; // a clock that speaks every second helps nobody
    this.#sign.append(dot, words, this.#clock);
    glass.append(this.#sign);
    part("record").addEventListener("click", () => void this.#toggle());
    part("still").addEventListener("click", () => void this.#still());
    this.#show(null);
  }

  /** Offers to record `channel` from now on; hear() says what is recorded of it. @param {string} channel */
  follow(channel) {
    if (channel === this.#channel) return; // the picture came back, the recording went on meanwhile
    this.leave();
    this.#channel = channel;
    this.#show(null);
  }

  /** @param {{recording: UnderWay|null, recorded: Recorded|null}} facts of the channel */
  hear({ recording, recorded }) {
    if (!this.#channel) return;
    const before = this.#going;
    this.#show(recording);
    if (before && !recording && recorded) this.#ended(recorded);
  }

  /** The channel has ended, and with it its recording. */
  leave() {
    const channel = this.#channel;
    const name = this.#going?.name;
    this.#channel = "";
    this.#show(null);
    if (name) void this.#learn(channel, name, COMPLETED_AFTER_LOOKS);
  }

  /** What became of a recording whose channel has gone. @param {string} channel @param {string} name @param {number} looks left */
  async #learn(channel, name, looks) {
    const kept = await api.recordings(channel).catch(() => []);
    const recorded = kept.find((one) => one.name === name);
    if (recorded?.ended) this.#ended(recorded);
    else if (looks > 0) setTimeout(() => void this.#learn(channel, name, looks - 1), LOOK_EVERY_MS);
    else this.#say("The recording ended.");
  }

  /** @param {UnderWay|null} going */
  #show(going) {
    if (Boolean(going) !== Boolean(this.#going)) part("recording-live").textContent = going ? "Recording. Everybody here is told." : "";
    this.#going = going;
    this.#sign.hidden = !going;
    this.#clock.textContent = going ? duration(going.seconds) : "";
    part("record").setAttribute("aria-pressed", String(Boolean(going)));
    part("record").querySelector("span").textContent = going ? "Stop recording" : "Record";
    for (const id of ["record", "still"]) part(id).disabled = !this.#channel;
  }

  async #toggle() {
    const channel = this.#channel;
    await this.#busy("record", async () => {
      if (!this.#going) {
        this.#say("");
        this.#show(await api.beginRecording(channel));
        return;
      }
      const recorded = await api.endRecording(channel);
      if (!this.#going) return; // the look of this second was faster
      this.#show(null);
      this.#ended(recorded);
    });
  }

  async #still() {
    await this.#busy("still", async () => saveAs(...(await api.still(this.#channel))));
  }

  /** @param {string} id @param {() => Promise<void>} work */
  async #busy(id, work) {
    part(id).disabled = true;
    try {
      await work();
    } catch (failure) {
      this.#say(inWords(failure), true);
    } finally {
      part(id).disabled = !this.#channel;
    }
  }

  /** @param {Recorded} recorded */
  #ended(recorded) {
    const { name, seconds, lost, ended } = recorded;
    const why = MEANT.includes(ended) ? "Recording saved." : `The recording ended: ${ended}.`;
    const kept = seconds ? ` ${duration(seconds)} minutes are kept.` : "";
    this.#say(why + (lost || !MEANT.includes(ended) ? kept : ""), !MEANT.includes(ended));
    part("recording-said").append(" ", downloadLink(name));
    this.dispatchEvent(new Event("ended"));
  }

  /** @param {string} words @param {boolean} [bad] */
  #say(words, bad = false) {
    part("recording-said").textContent = words;
    part("recording-said").className = bad ? "notice bad" : "hint";
  }
}

/** @param {string} name of a recording @param {string} [words] */
export function downloadLink(name, words = "Download") {
  const link = document.createElement("a");
  Object.assign(link, { className: "text-button", textContent: words, href: api.recordingAddress(name), download: name });
  link.addEventListener("click", (event) => {
    if (!api.authorization().Authorization) return; // a plain download goes straight to the disk; one with a token has to be asked for
    event.preventDefault();
    void api.recordingFile(name).then((blob) => saveAs(blob, name), (failure) => link.replaceWith(inWords(failure)));
  });
  return link;
}

/** @param {Blob} blob @param {string} name */
function saveAs(blob, name) {
  const href = URL.createObjectURL(blob);
  Object.assign(document.createElement("a"), { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000); // by then the browser has taken hold of it
}
