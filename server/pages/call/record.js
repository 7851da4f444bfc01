// Recording a call: only with everybody's yes; a red sign meanwhile.

import * as api from "../shared/api.js";
import { agreed } from "../shared/asking.js";
import { part } from "../shared/notices.js";

export class Record {
  #room;
  #path;
  #announce;
  #asked = false;

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
    part("record").querySelector("span").textContent = going ? (member ? "Take back my yes" : "Stop recording") : asking !== null ? "Asking…" : "Record";
    part("record").disabled = !going && asking !== null;
  }

  /** Begins to ask everybody, or ends it. */
  async toggle() {
    if (this.#room.recording !== null) return void (await api.tell(this.#path, "DELETE"));
    try {
      await api.tell(this.#path, "POST");
    } catch (failure) {
      if (failure.kind !== "not-everybody-agrees") throw failure;
      this.#room.asking = this.#room.me;
      this.#announce("Everybody is being asked whether they agree to a recording.");
    }
    this.draw();
  }

  /** Somebody wants a recording. @param {(yes: boolean) => void} say */
  async answer(say) {
    if (this.#asked) return;
    this.#asked = true;
    const who = this.#room.nameOf(this.#room.asking ?? 0);
    const question = {
      title: "May this call be recorded?",
      words: `${who} wants to record everybody’s avatar and voice. It begins once all have agreed, and ends as soon as you take your yes back.`,
      yes: "I agree",
      no: "No",
    };
    say(await agreed(question));
    this.#asked = false;
  }
}
