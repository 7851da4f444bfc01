// Hologram mode: this page on a Looking Glass that is connected to the viewer's own PC. Finds the display, brings the page onto
// it, and draws only while every pixel fits.

import { lookingGlasses } from "./bridge.js";
import { refused } from "../geometry/shaders.js";
import { screens } from "../shared/api.js";
import { FreshFrames } from "../shared/frames.js";
import { forgetFile, keepFile, keptGlasses } from "./kept.js";
import { Interlacer } from "./lenticular.js";
import { inWords, part, say } from "../shared/notices.js";
import { Panel } from "./panel.js";
import { faults, measure, size } from "./alignment.js";
import { canTellScreens, screenOf } from "./screens.js";
import { even } from "../shared/tiling.js";

const LOOKING = "Looking for a Looking Glass on this computer. If the browser asks whether this page may reach devices or apps here, allow it.";
const BY_HAND = "Move this window onto the Looking Glass, then press F or double-click.";
const SOURCES = { bridge: "told by Looking Glass Bridge", file: "from its calibration file" };

export class LookingGlass {
  #stage;
  #surface;
  #canvas = document.createElement("canvas");
  #interlacer = null;
  #frames;
  /** @type {import("./bridge.js").Display[]} */
  #displays = [];
  /** @type {import("./bridge.js").Display|null} */
  #chosen = null;
  #aimed = null;
  #dots = null;
  #pending = 0;
  #round = 0;
  #told = "";
  #stale = true;
  /** Kinds of displays that the server knows. */
  #known = [];
  /** @type {Panel|null} */
  #panel = null;

  /** @param {import("../shared/player.js").Stage} stage @param {HTMLElement} surface holds the canvas that covers the panel */
  constructor(stage, surface) {
    this.#stage = stage;
    this.#surface = surface;
    this.#canvas.className = "panel";
    this.#canvas.role = "img";
    this.#canvas.setAttribute("aria-labelledby", "what");
    this.#frames = new FreshFrames(stage.video);
    this.#watchDots();
    part("glass-again").addEventListener("click", () => void this.#find());
    part("glass-file").addEventListener("change", (event) => void this.#read(event.target));
    part("glass-forget").addEventListener("click", () => this.#forget());
    part("glass-choices").addEventListener("change", (event) => this.#choose(this.#displays[Number(event.target.value)]));
    part("glass-show").addEventListener("click", () => void this.#show());
    document.addEventListener("dragover", (event) => this.#pending && event.preventDefault());
    document.addEventListener("drop", (event) => this.#pending && this.#dropped(event));
  }

  enter() {
    if (this.#pending) return;
    this.#interlacer ??= new Interlacer(this.#canvas);
    this.#panel ??= new Panel(this.#interlacer);
    this.#surface.append(this.#canvas);
    this.#told = "";
    void screens().then((known) => (this.#known = known), () => undefined); // without them, as most displays
    this.#tick(performance.now());
    if (this.#interlacer.failure) this.#say("This browser cannot draw for a Looking Glass.", this.#interlacer.failure);
    else void this.#find();
  }

  leave() {
    cancelAnimationFrame(this.#pending);
    this.#pending = 0;
    this.#round += 1;
    this.#canvas.remove();
    delete document.body.dataset.glass;
  }

  #watchDots() {
    const watch = new ResizeObserver(([entry]) => (this.#dots = entry.devicePixelContentBoxSize?.[0] ?? null));
    try {
      watch.observe(this.#canvas, { box: "device-pixel-content-box" });
    } catch {
      // Safari has no such box: its rectangle has to do
    }
  }

  async #find() {
    const round = (this.#round += 1);
    this.#say(LOOKING, "");
    part("glass-again").disabled = true;
    const { displays, problem } = await askBridge();
    if (round !== this.#round) return;
    part("glass-again").disabled = false;
    const told = new Set(displays.map(({ calibration }) => calibration.serial));
    const files = keptGlasses().filter(({ calibration }) => !told.has(calibration.serial));
    this.#offer([...displays, ...files], displays.length === 1 || !displays.length ? 0 : -1, problem);
  }

  /** @param {HTMLInputElement} field */
  async #read(field) {
    await this.#take(field.files[0]);
    field.value = ""; // so that the same file can be chosen again
  }

  /** @param {DragEvent} event */
  #dropped(event) {
    event.preventDefault();
    const file = event.dataTransfer?.files[0];
    if (file) void this.#take(file);
  }

  /** @param {File|undefined} file */
  async #take(file) {
    if (!file) return;
    try {
      const display = await keepFile(file);
      this.#round += 1; // a search that is still under way must not undo this
      part("glass-again").disabled = false;
      const others = this.#displays.filter(({ calibration }) => calibration.serial !== display.calibration.serial);
      this.#offer([display, ...others], 0, "");
    } catch (failure) {
      say(part("glass-problem"), inWords(failure));
    }
  }

  #forget() {
    forgetFile(this.#chosen.calibration.serial);
    this.#offer(this.#displays.filter((one) => one !== this.#chosen), 0, "");
    part("glass-again").focus(); // the button that had it is gone
  }

  /** @param {import("./bridge.js").Display[]} displays @param {number} first which to choose, -1 for none @param {string} problem */
  #offer(displays, first, problem) {
    this.#displays = displays;
    const choices = part("glass-choices");
    choices.hidden = displays.length < 2;
    choices.querySelector("div").replaceChildren(...displays.map((display, at) => choice(display, at, at === first)));
    this.#choose(displays[first] ?? null);
    if (displays.length > 1 && first < 0) this.#say("Several displays are connected. Which one is yours?", problem);
    else if (!displays.length) this.#say("No display yet.", problem);
    else say(part("glass-problem"), displays[first].source === "bridge" ? problem : "");
  }

  /** @param {import("./bridge.js").Display|null} display */
  #choose(display) {
    this.#chosen = display;
    this.#aimed = null;
    part("glass-forget").hidden = display?.source !== "file";
    part("glass-step").hidden = !display;
    if (!display) return;
    const { name, source, calibration, problems } = display;
    const settings = problems.length ? ` Bridge says that ${problems.join(" and ")}.` : "";
    this.#say(`${name}, ${size([calibration.width, calibration.height])} pixels, ${SOURCES[source]}.${settings}`, "");
    part("glass-show").textContent = canTellScreens() ? "Show on the Looking Glass" : "Full screen";
    part("glass-show").hidden = !document.documentElement.requestFullscreen;
    say(part("glass-way"), canTellScreens() ? "" : BY_HAND);
  }

  /** @param {string} words @param {string} problem */
  #say(words, problem) {
    part("glass-found").textContent = words;
    say(part("glass-problem"), problem);
  }

  /** Onto its screen in one go where the browser can; by hand where it cannot. */
  async #show() {
    let screen = null;
    if (canTellScreens()) {
      try {
        screen = await screenOf(this.#chosen);
        if (!screen) say(part("glass-way"), "No screen of this computer looks like it. Connect its video cable, and let the desktop extend to it instead of being mirrored.");
      } catch {
        say(part("glass-way"), `The browser was not allowed to tell screens apart. ${BY_HAND}`);
      }
      if (!screen) return;
    }
    await document.documentElement.requestFullscreen(screen ? { screen } : undefined).catch(() => {
      say(part("glass-way"), "The browser did not go to full screen. Press the button once more, or press F there.");
    });
  }

  /** Looks anew at every frame, so that not one is shown where it does not fit. @param {number} now */
  #tick(now) {
    this.#pending = requestAnimationFrame((later) => this.#tick(later));
    const wrong = this.#chosen ? this.#faults() : [];
    const right = this.#chosen !== null && wrong.length === 0;
    this.#tell(wrong, right);
    if (!right || this.#stage.state !== "live" || !this.#aimed) {
      this.#stale = true;
      return;
    }
    const { actor } = this.#stage;
    if (actor) this.#draw(actor, now);
    else this.#play();
    this.#stale = false;
  }

  /** @param {import("../geometry/actor.js").Actor} actor @param {number} now */
  #draw(actor, now) {
    const { drawing } = this.#stage;
    try {
      const slow = this.#panel.draw(actor, now, this.#stale);
      if (slow) drawing.tooSlow(slow);
    } catch (failure) {
      if (refused(failure)) drawing.refused();
    }
  }

  #play() {
    const fresh = this.#frames.take();
    if (!fresh && !this.#stale && this.#interlacer.holds) return;
    this.#interlacer.take(this.#stage.video);
    this.#interlacer.paint();
  }

  /** The pixels of the canvas become those of the panel, which may be many; the shader gets its numbers, for tiles as large as they are. */
  #aim(tiling, calibration, { width, height }) {
    const aimed = this.#aimed;
    if (aimed?.tiling === tiling && aimed.calibration === calibration && aimed.width === width && aimed.height === height) return;
    this.#interlacer.aim({ ...tiling, width, height }, calibration);
    this.#aimed = { tiling, calibration, width, height };
    this.#stale = true;
  }

  /** @returns {import("./alignment.js").Fault[]} */
  #faults() {
    if (this.#interlacer.failure) return [{ what: this.#interlacer.failure, mend: "" }];
    const { calibration } = this.#chosen;
    this.#canvas.style.width = `${calibration.width / devicePixelRatio}px`;
    this.#canvas.style.height = `${calibration.height / devicePixelRatio}px`;
    const found = faults(calibration, measure(this.#canvas, this.#dots));
    const { tiling, state, video, actor } = this.#stage;
    if (found.length || !tiling) return found;
    const wanted = actor ? this.#panel.tilingFor(this.#chosen, this.#known, tiling) : tiling;
    this.#aim(wanted, calibration, actor ? wanted : made(tiling, video));
    const trouble = this.#interlacer.trouble(wanted, calibration);
    if (trouble) return [{ what: trouble, mend: "" }];
    if (actor) return [];
    const expected = [even(tiling.width), even(tiling.height)];
    if (state !== "live" || !video.videoWidth || arrivesAs(tiling, video)) return [];
    return [{ what: `A quilt of ${size([video.videoWidth, video.videoHeight])} pixels arrives, where the server announced ${size(expected)}.`, mend: "Reload the page." }];
  }

  get #rightWords() {
    return this.#stage.actor ? `The hologram fills the Looking Glass: ${this.#panel.words}.` : "The hologram fills the Looking Glass.";
  }

  /** @param {import("./alignment.js").Fault[]} wrong @param {boolean} right */
  #tell(wrong, right) {
    document.body.dataset.glass = right ? "right" : "wrong";
    const words = right ? this.#rightWords : wrong.map(({ what, mend }) => `${what} ${mend}`).join(" ");
    if (words === this.#told) return;
    this.#told = words;
    part("glass-said").textContent = words;
    part("glass-faults").replaceChildren(...wrong.map(({ what, mend }) => line(what, mend)));
  }
}

/** Whether it is the announced quilt, or the same tiling with smaller tiles while the server is too busy for whole ones. */
const arrivesAs = (tiling, video) => whole(tiling, video) || smaller(tiling, video);

const whole = ({ width, height }, { videoWidth: across, videoHeight: down }) => across === even(width) && down === even(height);

const smaller = ({ width, height, columns, rows }, { videoWidth: across, videoHeight: down }) =>
  across > 0 && across < width && down <= height && across % columns === 0 && down % rows === 0;

/** How large the quilt is that arrives. */
const made = (tiling, video) =>
  smaller(tiling, video) && !whole(tiling, video) ? { width: video.videoWidth, height: video.videoHeight } : { width: tiling.width, height: tiling.height };

/** What Bridge on this PC tells. @returns {Promise<{displays: import("./bridge.js").Display[], problem: string}>} */
async function askBridge() {
  try {
    const { displays, refused } = await lookingGlasses();
    const none = displays.length || refused.length ? "" : "Looking Glass Bridge runs, but sees no Looking Glass. Check its power and its cables, then look again.";
    return { displays, problem: none || refused.join(" ") };
  } catch (failure) {
    return { displays: [], problem: inWords(failure) };
  }
}

/** @param {import("./bridge.js").Display} display @param {number} at @param {boolean} checked */
function choice({ name, source, calibration }, at, checked) {
  const label = document.createElement("label");
  const radio = Object.assign(document.createElement("input"), { type: "radio", name: "glass", value: String(at), checked });
  const words = Object.assign(document.createElement("span"), { textContent: name });
  const detail = Object.assign(document.createElement("small"), { textContent: `${size([calibration.width, calibration.height])}, ${SOURCES[source]}` });
  label.append(radio, words, detail);
  return label;
}

/** @param {string} what @param {string} mend */
function line(what, mend) {
  const item = document.createElement("li");
  item.append(Object.assign(document.createElement("strong"), { textContent: what }), ` ${mend}`);
  return item;
}
