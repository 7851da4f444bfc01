// Recording a call: only with everybody's yes; a red sign meanwhile; and the films of it, for those who may have them.

import * as api from "../shared/api.js";
import { part } from "../shared/notices.js";
import { downloadLink } from "../shared/recording.js";

export class Record {
  #room;
  #path;
  #announce;
  /** @type {string[]} names of the films that are listed */
  #films = [];

  /** @param {import("./room.js").Room} room @param {string} call @param {(words: string) => void} announce */
  constructor(room, call, announce) {
    this.#room = room;
    this.#path = `api/channels/${encodeURIComponent(call)}/recording`;
    this.#announce = announce;
  }

  draw() {
    const { recording, asking, own } = this.#room;
    const going = recording !== null;
    part("recording-sign").hidden = !going;
    part("record").hidden = !(own?.role === "host" || own?.role === "recorder" || going);
    part("record").setAttribute("aria-pressed", String(going));
    const member = own?.role === "member";
    part("record").querySelector("span").textContent = going ? (member ? "Take back my yes" : "Stop recording") : asking.recording ? "Asking…" : "Record";
    part("record").disabled = !going && Boolean(asking.recording);
  }

  /** Begins to ask everybody, or ends it. */
  async toggle() {
    if (this.#room.recording !== null) return void (await api.tell(this.#path, "DELETE"));
    try {
      await api.tell(this.#path, "POST");
    } catch (failure) {
      if (failure.kind !== "not-everybody-agrees") throw failure;
      this.#room.asking.recording = { by: this.#room.me };
      this.#announce("Everybody is being asked whether they agree to a recording.");
    }
    this.draw();
  }

  /** Lists the films of this call; they are complete once it is not recorded any more. @param {boolean} may whether one may have them */
  async list(may) {
    const told = may ? await api.tell(this.#path, "GET").catch(() => null) : null; // none is told of a call that has ended
    if (told) this.#films = told.recorded;
    for (const films of document.querySelectorAll(".call-films")) {
      films.hidden = !this.#films.length || this.#room.recording !== null;
      films.querySelector("ul").replaceChildren(...this.#films.map(row));
    }
  }
}

/** @param {string} name of a film @param {number} index */
function row(name, index) {
  const item = document.createElement("li");
  item.append(downloadLink(name, `Recording ${index + 1}`));
  return item;
}
