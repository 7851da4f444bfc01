// Outgoing: the sign that a channel is sent on to another server, and from there to whoever watches it there.

/** A sign at the upper left of the glass, said aloud once. */
export class OutgoingSign {
  #sign = document.createElement("p");

  /** @param {HTMLElement} glass */
  constructor(glass) {
    this.#sign.className = "outgoing-sign";
    this.#sign.ariaLive = "polite";
    this.#sign.hidden = true;
    glass.append(this.#sign);
  }

  /** @param {{host: string, connected: boolean}|null} handover as GET /api/channels/{channel} gives it; null: it goes nowhere else */
  show(handover) {
    const words = handover ? `Goes out to ${handover.host}` : "";
    if (this.#sign.textContent !== words) this.#sign.textContent = words;
    this.#sign.hidden = !words;
  }
}
