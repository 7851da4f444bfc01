// The shelf: the avatars on this server, making one from a portrait, and forgetting it.

import * as api from "./api.js";
import { agreed } from "./asking.js";
import { inWords, part, say, withToken } from "./notices.js";

const COUNT_FROM = 3;
const SECOND_MS = 1000;
const NEW = "new";
const PLUS = '<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 5v14M5 12h14"/></svg>';
const FORGET = {
  title: "Forget this avatar?",
  words: "The face, your consent and everything made from it are deleted from this server, recordings that show it included. This cannot be undone.",
  yes: "Forget it",
  no: "Keep it",
};

const KEPT = {
  photo: "Kept on this server until you press Forget: the face cut from the photo, what was measured on it, your answer, and a fingerprint of the file. The file itself is not kept.",
  brought: "Kept on this server until you press Forget: the 3D head, a picture of it, your answer, and a fingerprint of the file. The file itself is not kept. Viewers’ devices may be given the head to draw it.",
};

const MOST_ALSO = 2;
const ALSO = "Optional: the same person, head turned a little to the left and to the right. The sides of the avatar are made of them.";

/** Whether a file is an avatar that was made elsewhere. @param {Blob} blob */
const isBrought = (blob) => /zip/.test(blob.type) || /\.zip$/i.test(blob.name ?? "");

// The same on each page that has a place for it, and there before anything asks for its parts.
part("portraits").innerHTML = `
  <div class="shelf" id="shelf" role="radiogroup" aria-labelledby="avatar-title"></div>
  <p class="shelf-line" id="shelf-line"></p>
  <div class="enrol" id="enrol" hidden>
    <div class="sources" id="portrait-sources">
      <button type="button" class="tile-button" id="snapshot">
        <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 8h3l1.5-2.5h7L17 8h3v11H4z"/><circle cx="12" cy="13" r="3.5"/></svg>
        Take a snapshot
        <small>Look straight at the camera, mouth closed</small>
      </button>
      <label class="tile-button" id="drop">
        <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M12 16V5m0 0L8 9m4-4 4 4M5 19h14"/></svg>
        Upload a photo
        <small>Or drop one here: JPEG, PNG or WebP; or a 3D avatar (LAM’s .zip)</small>
        <input type="file" class="unseen" id="portrait-file" accept="image/*,.zip">
      </label>
    </div>
    <div class="consent" id="consent" hidden>
      <img id="portrait-preview" alt="The portrait you chose">
      <p class="brought-preview" id="brought-preview" hidden></p>
      <div>
        <fieldset id="consent-choice" aria-describedby="kept">
          <legend>Whose face is it?</legend>
          <label><input type="radio" name="consent" value="me"> Mine</label>
          <label><input type="radio" name="consent" value="consenting"> Someone’s who agreed to this</label>
          <label><input type="radio" name="consent" value="synthetic"> Nobody’s: it is synthetic</label>
        </fieldset>
        <label class="kept-expression" id="expression-field">
          <span>Expression <small>when the avatar is at rest</small></span>
          <span class="ends"><span>Neutral</span><input type="range" id="expression" min="0" max="1" step="0.05" value="0"><span>As in the photo</span></span>
        </label>
        <div class="also" id="also-field">
          <label class="text-button">Add photos from the sides<input type="file" class="unseen" id="also-file" accept="image/*" multiple></label>
          <small id="also-line"></small>
        </div>
        <p class="hint" id="kept"></p>
        <div class="row">
          <button type="button" class="button primary" id="make">Make the avatar</button>
          <button type="button" class="button quiet" id="discard">Another one</button>
        </div>
      </div>
    </div>
  </div>`;

/** A file's name as a person would say it. @param {string} filename */
const stem = (filename) => filename.replace(/\.[^.]*$/, "").replace(/[_-]+/g, " ").trim() || "Portrait";

/** What stands under the picture. @param {api.AvatarEntry} entry */
const nameOf = ({ name }) => name.replace(/^Sample: /, "") || "Portrait";

/** @param {string} words */
const sentence = (words) => `${words[0].toUpperCase()}${words.slice(1)}.`;

/** Fires "change" when another avatar is chosen. */
export class Shelf extends EventTarget {
  #driver;
  #turnCameraOn;
  #patiently;
  /** @type {api.AvatarEntry[]} */
  #entries = [];
  #pictures = new Map();
  /** @type {File[]} further photos of whoever the portrait shows */
  #also = [];
  /** @type {{blob: Blob, name: string, address: string}|null} the portrait waiting for consent */
  #portrait = null;
  #chosen = "";

  /**
   * @param {import("./drivers.js").Driver} driver whose picture a snapshot takes
   * @param {() => Promise<boolean>} turnCameraOn for a snapshot, when nothing is on yet
   * @param {<T>(work: () => Promise<T>) => Promise<T>} patiently asks again while the server warms up
   */
  constructor(driver, turnCameraOn, patiently) {
    super();
    this.#patiently = patiently;
    this.#driver = driver;
    this.#turnCameraOn = turnCameraOn;
    part("shelf").addEventListener("change", (event) => this.#choose(event.target.value));
    part("snapshot").addEventListener("click", () => void this.#reported(() => this.#snap()));
    part("portrait-file").addEventListener("change", (event) => this.#takeFile(event.target));
    part("also-file").addEventListener("change", (event) => this.#takeAlso(event.target));
    part("make").addEventListener("click", () => void this.#reported(() => this.#make()));
    part("discard").addEventListener("click", () => this.#setPortrait(null));
    part("consent-choice").addEventListener("change", () => {
      part("consent-choice").removeAttribute("aria-invalid");
      say(part("avatar-problem"), "");
    });
    this.#acceptDrops(part("drop"));
  }

  /** The id of the chosen avatar; empty while a new one is being made. */
  get chosen() {
    return this.#chosen === NEW ? "" : this.#chosen;
  }

  /** The engine that alone shows the chosen avatar; empty where any may. */
  get engine() {
    return this.#entries.find((one) => one.id === this.chosen)?.engine ?? "";
  }

  /** The address of the chosen avatar's picture, or of the portrait that may become one; empty if there is neither. */
  get picture() {
    const waiting = this.#portrait && !isBrought(this.#portrait.blob) ? this.#portrait.address : "";
    return (this.chosen ? this.#pictures.get(this.chosen) : waiting) ?? "";
  }

  /** Reads the avatars anew. @param {string} [choose] the id to choose then */
  async load(choose) {
    await this.#reported(async () => {
      this.#entries = await this.#patiently(api.avatars);
      await Promise.all(this.#entries.map((entry) => this.#fetchPicture(entry.id)));
    });
    const ids = this.#entries.map((entry) => entry.id);
    const wanted = [choose, this.#chosen, ids[0]].find((id) => id !== undefined && ids.includes(id));
    this.#choose(wanted ?? NEW);
  }

  /** @param {boolean} locked while a call runs on the chosen one */
  lock(locked) {
    part("shelf").inert = locked;
    part("enrol").inert = locked;
    part("shelf-line").inert = locked;
  }

  async #fetchPicture(id) {
    if (this.#pictures.has(id)) return;
    const picture = await api.avatarPicture(id).catch(() => null); // an avatar without its picture is still an avatar
    if (picture) this.#pictures.set(id, URL.createObjectURL(picture));
  }

  #choose(id) {
    this.#chosen = id;
    this.#draw();
    part("enrol").hidden = id !== NEW;
    if (id !== NEW) say(part("avatar-problem"), "");
    this.dispatchEvent(new Event("change"));
  }

  #draw() {
    const focused = part("shelf").contains(document.activeElement);
    const faces = this.#entries.map((entry) => this.#face(entry.id, nameOf(entry), this.#pictures.get(entry.id)));
    part("shelf").replaceChildren(...faces, this.#face(NEW, "New", undefined));
    if (focused) part("shelf").querySelector("input:checked")?.focus();
    part("shelf-line").replaceChildren(...this.#line());
  }

  #face(id, name, picture) {
    const label = document.createElement("label");
    label.className = "face";
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "avatar", value: id, checked: id === this.#chosen });
    const frame = Object.assign(document.createElement("span"), { className: "frame" });
    if (id === NEW) frame.innerHTML = PLUS;
    else if (picture) frame.append(Object.assign(document.createElement("img"), { src: picture, alt: "" }));
    const words = Object.assign(document.createElement("span"), { className: "name", textContent: name });
    label.append(input, frame, words);
    return label;
  }

  /** What can be said of the chosen one, and done with it. */
  #line() {
    const entry = this.#entries.find((one) => one.id === this.#chosen);
    if (!entry) return [];
    if (entry.built_in) return ["A public-domain portrait. Choose New to use your own."];
    const forget = Object.assign(document.createElement("button"), { type: "button", className: "text-button", textContent: `Forget ${nameOf(entry)}` });
    forget.addEventListener("click", () => void this.#forget(entry.id));
    return [`${nameOf(entry)} is kept on this server.`, forget, ...(entry.licence ? [` ${sentence(entry.licence)}`] : [])];
  }

  async #forget(id) {
    if (!(await agreed(FORGET))) return;
    await this.#reported(async () => {
      await withToken(() => api.forget(id));
      URL.revokeObjectURL(this.#pictures.get(id) ?? "");
      this.#pictures.delete(id);
      this.dispatchEvent(new Event("forgotten"));
      await this.load();
    });
  }

  async #snap() {
    if (!this.#driver.on && !(await this.#turnCameraOn())) return;
    const countdown = part("countdown");
    part("mirror").scrollIntoView({ block: "nearest", behavior: "smooth" });
    for (let left = COUNT_FROM; left > 0; left -= 1) {
      countdown.textContent = String(left);
      await new Promise((done) => setTimeout(done, SECOND_MS));
    }
    countdown.textContent = "";
    this.#setPortrait({ blob: await this.#driver.snapshot(), name: "Snapshot" });
  }

  /** @param {HTMLInputElement} input */
  #takeFile(input) {
    const file = input.files?.[0];
    input.value = ""; // so that the same file can be chosen again
    if (file) this.#setPortrait({ blob: file, name: stem(file.name) });
  }

  /** @param {HTMLInputElement} input */
  #takeAlso(input) {
    this.#setAlso([...(input.files ?? [])].slice(0, MOST_ALSO));
    input.value = "";
    say(part("avatar-problem"), "");
  }

  /** @param {File[]} files */
  #setAlso(files) {
    this.#also = files;
    part("also-line").textContent = files.length ? files.map((file) => file.name).join(", ") : ALSO;
    if (this.#portrait) part("kept").textContent = this.#willBeKept();
  }

  /** What is kept, in words. */
  #willBeKept() {
    const words = KEPT[isBrought(this.#portrait.blob) ? "brought" : "photo"];
    return this.#also.length ? words.replace("from the photo", "from the photos").replace("of the file. The file itself is", "of the files. The files themselves are") : words;
  }

  /** @param {{blob: Blob, name: string}|null} portrait */
  #setPortrait(portrait) {
    if (this.#portrait) URL.revokeObjectURL(this.#portrait.address);
    this.#portrait = portrait && { ...portrait, address: URL.createObjectURL(portrait.blob) };
    part("portrait-sources").hidden = portrait !== null;
    part("consent").hidden = portrait === null;
    say(part("avatar-problem"), "");
    for (const choice of part("consent-choice").elements) choice.checked = false;
    part("consent-choice").removeAttribute("aria-invalid");
    part("expression").value = "0";
    if (portrait) this.#preview(isBrought(portrait.blob));
    (portrait ? part("consent-choice").elements[0] : part("snapshot")).focus();
    this.dispatchEvent(new Event("change"));
  }

  /** @param {boolean} brought */
  #preview(brought) {
    if (!brought) part("portrait-preview").src = this.#portrait.address;
    part("portrait-preview").hidden = part("expression-field").hidden = part("also-field").hidden = brought;
    part("brought-preview").hidden = !brought;
    part("brought-preview").textContent = this.#portrait.name;
    this.#setAlso([]);
  }

  async #make() {
    const consent = [...part("consent-choice").elements].find((choice) => choice.checked)?.value;
    if (!consent) {
      part("consent-choice").setAttribute("aria-invalid", "true");
      say(part("avatar-problem"), "Say whose face it is first. Nothing has been sent yet.");
      part("consent-choice").elements[0].focus();
      return;
    }
    const button = part("make");
    const words = button.textContent;
    button.disabled = true;
    button.textContent = "Making it…";
    try {
      const { blob, name } = this.#portrait;
      const entry = await withToken(() => api.enrol(blob, name, consent, Number(part("expression").value), this.#also));
      this.#setPortrait(null);
      await this.load(entry.id);
    } finally {
      button.disabled = false;
      button.textContent = words;
    }
  }

  async #reported(work) {
    say(part("avatar-problem"), "");
    try {
      await work();
    } catch (failure) {
      say(part("avatar-problem"), inWords(failure));
    }
  }

  /** @param {HTMLElement} target */
  #acceptDrops(target) {
    const over = (event, is) => {
      event.preventDefault();
      target.dataset.over = String(is);
    };
    for (const kind of ["dragenter", "dragover"]) target.addEventListener(kind, (event) => over(event, true));
    target.addEventListener("dragleave", (event) => over(event, false));
    target.addEventListener("drop", (event) => {
      over(event, false);
      const file = event.dataTransfer?.files?.[0];
      if (file) this.#setPortrait({ blob: file, name: stem(file.name) });
    });
  }
}
