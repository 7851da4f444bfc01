// Choice: whether an avatar is drawn on this device or comes as pictures from the server, and the words for it. Pure.

/** What the server says of a channel that has no geometry for viewers. @type {Record<string, string>} */
const REFUSALS = {
  engine: "this avatar’s engine has none",
  operator: "the server’s operator keeps avatars there",
  table: "several people share one picture",
};

/** Where a browser has WebGL 2, which then takes no shaders of ours. */
export const NO_SHADERS = "this browser’s graphics driver does not take the shaders";

/** @typedef {"auto"|"here"|"pictures"} Wish */

export class Choice {
  /** Why this browser cannot, or nothing. */
  lacking = "";
  /** Why the server does not, as its word; or nothing. */
  refused = "";
  /** The graphics card has dropped the page. */
  lost = false;
  /** What would be drawn here is a preview, and not what the server renders. */
  preview = false;
  /** Milliseconds that a picture takes, where that is too many. */
  slow = 0;
  /** @type {Wish} */
  wish;

  /** @param {Wish} wish */
  constructor(wish) {
    this.wish = wish;
  }

  /** Whether it is to be drawn here. */
  get here() {
    return !this.lacking && !this.refused && !this.lost && this.wish !== "pictures" && (this.wish === "here" || !(this.slow || this.preview));
  }

  /** Whether who watches could have it otherwise. */
  get free() {
    return !this.lacking && !this.refused && !this.lost;
  }

  /** How it is, in words. */
  get words() {
    if (this.here) return this.preview ? "A preview, drawn on this device: the server’s pictures are finer" : "Drawn on this device";
    const why = this.lacking || REFUSALS[this.refused] || this.refused || (this.lost && "the graphics card has dropped this page") || this.#unwished;
    return why ? `Sent as pictures: ${why}` : "Sent as pictures";
  }

  get #unwished() {
    if (this.wish === "pictures") return "";
    if (this.preview) return "drawn here it would be a preview";
    return this.slow ? `this device takes ${Math.round(this.slow)} ms to draw one` : "";
  }

  /** What the switch does. */
  get offer() {
    return this.here ? "Send pictures instead" : this.preview ? "Draw a preview here" : "Draw it here";
  }
}
