// Condition: what the server says of how a channel goes, as words on the glass. Live needs none.

/** @typedef {{state: string, why: string, seconds: number}} Condition */

/** By whose page it is and the server's state; what stands after the colon is the server's own reason. @type {Record<string, Record<string, string>>} */
const WORDS = {
  caller: {
    "still": "Your camera sends no new pictures. Viewers see the last one.",
    "nothing-decoded": "Viewers see nothing of you",
    "no-face": "No face is seen. Look at the camera.",
    "too-far": "Your face is small in the picture. Come closer to the camera.",
    "slowed-down": "Shown with less detail",
    "devices-failing": "The server’s devices fail",
  },
  viewer: {
    "still": "The caller’s camera stands still. This is its last picture.",
    "nothing-decoded": "Nothing of the caller can be shown",
    "no-face": "The caller’s face is out of sight.",
    "too-far": "The caller is far from the camera.",
    "slowed-down": "Shown with less detail",
    "devices-failing": "The server’s devices fail",
  },
};

/** @param {{state: string, why: string}|null|undefined} condition null: there is no call @param {"caller"|"viewer"} whose page it is @returns {string} empty where nothing need be said */
export function inWordsOf(condition, whose) {
  const words = WORDS[whose][condition?.state ?? ""] ?? "";
  return words && condition?.why ? `${words.replace(/\.$/, "")}: ${condition.why}.` : words && words.replace(/([^.])$/, "$1.");
}

/** What stands in the pill beside the title, where it is not what the page says anyway. @type {Record<string, string>} */
const SHORTLY = { "still": "Still", "nothing-decoded": "No picture", "devices-failing": "Failing" };

/** A sign at the upper edge of the glass. */
export class ConditionSign {
  #sign = document.createElement("p");
  #whose;

  /** @param {HTMLElement} glass @param {"caller"|"viewer"} whose page it is */
  constructor(glass, whose) {
    this.#whose = whose;
    this.#sign.className = "condition-sign";
    this.#sign.ariaLive = "polite";
    this.#sign.hidden = true;
    glass.append(this.#sign);
  }

  /** @param {Condition|null} condition null: there is no call @returns {string} one word for it, or nothing */
  show(condition) {
    const said = inWordsOf(condition, this.#whose);
    if (said !== this.#sign.textContent) this.#sign.textContent = said; // said aloud once, not each second
    this.#sign.hidden = !said;
    this.#sign.dataset.state = condition?.state ?? "";
    return SHORTLY[condition?.state ?? ""] ?? "";
  }
}
