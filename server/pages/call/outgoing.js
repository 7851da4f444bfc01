// Going out: a call sent on to another server, with everybody's yes: the sign, the host's way to begin it, everybody's to end it.

import * as api from "../shared/api.js";
import { agreed } from "../shared/asking.js";
import { part } from "../shared/notices.js";

const FIELDS = `<label class="field"><span>Address (WHIP)</span><input name="url" type="url" required placeholder="https://sfu.example.org/whip/room" autocomplete="off"></label>
  <label class="field"><span>Its token, if it wants one</span><input name="token" type="password" autocomplete="off"></label>`;

export class Outgoing {
  #room;
  #path;
  #announce;

  /** @param {import("./room.js").Room} room @param {string} call @param {(words: string) => void} announce */
  constructor(room, call, announce) {
    this.#room = room;
    this.#path = `api/channels/${encodeURIComponent(call)}/handover`;
    this.#announce = announce;
  }

  draw() {
    const { handover, asking, handoverHosts, own } = this.#room;
    const host = this.#room.hosting;
    const words = handover ? `Goes out to ${handover.to}` : "";
    part("outgoing-sign").hidden = !handover;
    if (part("outgoing-words").textContent !== words) part("outgoing-words").textContent = words;
    part("outgoing").hidden = !(handover ? own?.role !== "viewer" : host && handoverHosts.length);
    part("outgoing-hint").textContent = handover ? `Whoever watches at ${handover.to} sees and hears this table.` : "To an audience elsewhere, once everybody here agrees.";
    part("outgoing-do").textContent = handover ? (host ? "Stop sending it out" : "Take back my yes") : asking.handover ? "Asking everybody…" : "Send this call out";
    part("outgoing-do").disabled = !handover && Boolean(asking.handover);
  }

  /** Asks where to and begins to ask everybody, or ends it. */
  async toggle() {
    if (this.#room.handover) return void (await api.tell(this.#path, "DELETE"));
    const field = Object.assign(document.createElement("div"), { className: "fields", innerHTML: FIELDS });
    const where = this.#room.handoverHosts.join(", ");
    const question = { title: "Send this call out?", words: `Everybody here is asked first. Whoever runs this server allows: ${where}.`, yes: "Ask everybody", no: "Cancel" };
    if (!(await agreed(question, field))) return;
    const wanted = { url: field.querySelector("[name=url]").value.trim(), token: field.querySelector("[name=token]").value };
    try {
      await api.tell(this.#path, "POST", wanted);
    } catch (failure) {
      if (failure.kind !== "not-everybody-agrees") throw failure;
      this.#room.asking.handover = { by: this.#room.me };
      this.#announce("Everybody is being asked whether this call may go out.");
    }
    this.draw();
  }
}
