// Unlike: whoever drives a portrait that does not look like them is told so, before and in the call, and may say that the person shown
// agreed. Nobody is kept from anything by it.

import { inWords, part, say } from "../shared/notices.js";

/** Portraits of which that was said on this page. @type {Set<string>} */
const agreed = new Set();

/** One notice with two buttons, `ID-yes` and `ID-no`, and a line for what goes wrong, `ID-problem`. */
export class Unlike {
  #id;
  #avatar = "";
  #confirm = async () => {};

  /** @param {string} id */
  constructor(id) {
    this.#id = id;
    part(`${id}-yes`).addEventListener("click", () => {
      agreed.add(this.#avatar);
      void this.#say();
    });
    part(`${id}-no`).addEventListener("click", () => this.hide());
  }

  /**
   * @param {string} found as the server says: alike, unlike, unlike-confirmed, not-compared
   * @param {string} avatar @param {() => Promise<unknown>} confirm
   */
  hear(found, avatar, confirm) {
    [this.#avatar, this.#confirm] = [avatar, confirm];
    if (found !== "unlike") this.hide();
    else if (agreed.has(avatar)) void this.#say();
    else part(this.#id).hidden = false;
  }

  hide() {
    part(this.#id).hidden = true;
    say(part(`${this.#id}-problem`), "");
  }

  async #say() {
    try {
      await this.#confirm();
      this.hide();
    } catch (failure) {
      part(this.#id).hidden = false;
      say(part(`${this.#id}-problem`), inWords(failure));
    }
  }
}
