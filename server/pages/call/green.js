// The green room: camera, microphone, portrait and name, before anybody else sees anything.

import { engines } from "../shared/api.js";
import { cameras, microphones, Driver } from "../shared/drivers.js";
import { Shelf } from "../shared/gallery.js";
import { inWords, part, say, whenWarm } from "../shared/notices.js";
import { keepName, keptName } from "./kept.js";
import { Level } from "./level.js";
import { Rehearsal } from "./rehearsal.js";
import { Unlike } from "./unlike.js";

const PUPPET = "puppet";
const LEVEL_EVERY_MS = 60;
/** A microphone in which nothing stirs for so long is perhaps the wrong one. */
const QUIET_MS = 4000;
const HEARD = 0.18;

/** By what the others see: beside the mirror, beside the preview, and to agree to. */
const SHOWN = {
  avatar: {
    note: "Only you see your camera",
    words: "Everybody sees an AI avatar made from this portrait, moved by your face. Nobody sees your camera.",
    agree: "My face moves this avatar while I am in the call, and my voice is heard. Neither is kept.",
    tag: "AI avatar",
  },
  live: {
    note: "The others see you without the room",
    words: "Everybody sees your camera’s own picture, cut out of the room and in relief. It says “Live picture” in every view.",
    agree: "My camera’s picture is shown while I am in the call, and my voice is heard. Neither is kept.",
    tag: "Live picture",
  },
};

/** Where whoever runs the server lets viewers draw. */
const GIVEN = " Their devices may draw it themselves: its shape and its colours are sent to them, and somebody could keep them.";

/** Fires "change" when camera or microphone go on or off, also by themselves. */
export class GreenRoom extends EventTarget {
  driver = new Driver(part("driver-video"));
  #level = new Level();
  #shelf = null;
  #loudAt = 0;
  /** One is in the call. */
  #locked = false;
  #busy = Promise.resolve();
  #given = "";
  #rehearsal;
  #unlike = new Unlike("rehearsal-unlike");

  /** @param {string} call */
  constructor(call) {
    super();
    this.#rehearsal = new Rehearsal(call);
    this.#rehearsal.addEventListener("state", () => this.#showRehearsal());
    this.#rehearsal.addEventListener("likeness", () => this.#unlike.hear(this.#rehearsal.likeness, this.avatar, () => this.#rehearsal.confirm()));
    part("rehearse").addEventListener("click", () => (this.#rehearsal.state === "off" ? this.#rehearse() : this.#rehearsal.stop()));
    part("mic").addEventListener("click", () => void this.toggleVoice());
    part("cam").addEventListener("click", () => void this.togglePicture());
    part("camera-choice").addEventListener("change", () => void this.#turnOn(part("camera-choice").value));
    part("mic-choice").addEventListener("change", () => void this.#useVoice(true));
    navigator.mediaDevices?.addEventListener?.("devicechange", () => void this.#list());
    this.driver.addEventListener("change", () => this.#show());
    part("name").value = keptName();
    part("shown-as").addEventListener("change", () => this.#changeChosen());
    this.#showChosen();
    setInterval(() => this.#showLevel(), LEVEL_EVERY_MS);
  }

  /** Opens for somebody who publishes, or who only watches. @param {boolean} publishes @param {string} [name] the invitation's */
  async open(publishes, name = "") {
    if (name) part("name").value = name;
    part("green").dataset.watches = String(!publishes);
    for (const id of ["avatar-part", "agree-part"]) part(id).hidden = !publishes;
    if (!publishes) return;
    this.#show();
    this.#stock(); // beside the devices: browsers ask for those
    await this.wake();
  }

  /** Turns on what can be turned on, asking as browsers do. */
  async wake() {
    const found = await cameras();
    await this.#list();
    if (!this.driver.on) await this.#turnOn(found.length ? "" : PUPPET);
    if (!this.driver.hasVoice && (await microphones()).length) await this.#useVoice(true);
  }

  /** Whether one is shown as one's own picture. */
  get live() {
    return document.querySelector('input[name="shown"]:checked').value === "live";
  }

  /** What to take a seat with. @returns {{avatar: string}|{engine: string}} */
  get look() {
    return this.live ? { engine: "live" } : { avatar: this.#shelf?.chosen || "sample" };
  }

  /** Whose portrait is shown; empty for one's own picture. */
  get avatar() {
    return this.look.avatar ?? "";
  }

  /** What still keeps one from joining; empty where nothing does. */
  get lacking() {
    if (!part("name").value.trim()) return ["Say your name first: the others see it beside your avatar.", "name"];
    if (part("agree-part").hidden) return ["", ""];
    if (!this.live && this.#shelf && !this.#shelf.chosen) return ["Make the avatar first, or choose one.", "shelf"];
    if (!this.driver.on) return ["Turn on your camera, or choose the puppet: something has to move your avatar.", "camera-choice"];
    if (!part("agree").checked) return ["Agree first to being shown and heard.", "agree"];
    return ["", ""];
  }

  /** @param {boolean} locked while one is in the call @returns {Promise<unknown>} once there is room again for what a rehearsal took */
  lock(locked) {
    this.#locked = locked;
    this.#listen();
    this.#shelf?.lock(locked);
    keepName(part("name").value.trim());
    return this.#rehearsal.stop();
  }

  /** The microphone on or off. @returns {Promise<boolean>} whether it is heard now */
  async toggleVoice() {
    await this.#useVoice(!this.driver.hasVoice);
    return this.driver.hasVoice;
  }

  async togglePicture() {
    if (this.driver.on) this.driver.stopPictures();
    else await this.#turnOn(part("camera-choice").value);
    return this.driver.on;
  }

  #stock() {
    this.#shelf ??= new Shelf(this.driver, () => this.#turnOn("").then(() => this.driver.on), (work) => whenWarm(work, (words) => say(part("join-problem"), words)));
    this.#shelf.addEventListener("change", () => this.#changeChosen());
    void this.#shelf.load("sample");
    void this.#tellGiven();
  }

  async #tellGiven() {
    const usual = (await engines().catch(() => [])).find((engine) => engine.default);
    this.#given = usual?.geometry ? GIVEN : "";
    this.#showChosen();
  }

  /** What the others see is another thing now, and so is the rehearsal. */
  #changeChosen() {
    this.#showChosen();
    if (this.#rehearsal.state !== "off") this.#rehearse();
  }

  #rehearse() {
    if (this.driver.on) void this.#rehearsal.start(this.driver.stream(), this.look, this.driver.kind);
    else this.#rehearsal.stop("Turn on your camera first, or choose the puppet.");
    this.#showRehearsal();
  }

  #showRehearsal() {
    const { state, problem, likeness } = this.#rehearsal;
    if (!likeness) this.#unlike.hide();
    part("chosen-part").dataset.rehearsal = state;
    part("rehearse").textContent = state === "off" ? "See yourself as the others will" : "Enough";
    part("rehearsal-words").textContent = problem || (state === "on" ? "Only you see this. Move the pointer over it to look around." : "");
  }

  #showChosen() {
    const { note, words, agree, tag } = SHOWN[this.live ? "live" : "avatar"];
    for (const [id, text] of [["mirror-note", note], ["chosen-words", this.live ? words : words + this.#given], ["agree-words", agree], ["chosen-tag", tag]]) part(id).textContent = text;
    const picture = this.#shelf?.picture ?? "";
    part("chosen").hidden = !picture || this.live;
    if (picture) part("chosen").src = picture;
    part("chosen-live").hidden = !this.live;
    part("chosen-live").srcObject = this.live && this.driver.on ? this.driver.stream() : null;
    void part("chosen-live").play().catch(() => undefined);
    for (const id of ["shelf", "shelf-line"]) part(id).hidden = this.live;
    if (this.live) part("enrol").hidden = true;
    else if (this.#shelf && !this.#shelf.chosen) part("enrol").hidden = false;
  }

  /** @param {string} choice a camera's id, PUPPET, or nothing for whatever there is */
  #turnOn(choice) {
    this.#busy = this.#busy.then(async () => {
      say(part("device-problem"), "");
      part("mirror-words").textContent = choice === PUPPET ? "The puppet is getting dressed" : "Answer your browser’s question about the camera";
      try {
        if (choice === PUPPET) await this.driver.usePuppet();
        else await this.driver.useCamera(choice || undefined);
      } catch (failure) {
        say(part("device-problem"), inWords(failure));
      }
      part("mirror").dataset.kind = choice === PUPPET ? "puppet" : "camera";
      await this.#list(choice);
      this.#show();
    });
    return this.#busy;
  }

  /** @param {boolean} wanted */
  async #useVoice(wanted) {
    say(part("device-problem"), "");
    try {
      await this.driver.useVoice(wanted, part("mic-choice").value || undefined);
    } catch (failure) {
      say(part("device-problem"), inWords(failure));
    }
    this.#listen();
    await this.#list();
    this.#show();
    this.dispatchEvent(new Event("change"));
  }

  #listen() {
    this.#level.listen(this.#locked ? null : this.driver.sound);
    this.#loudAt = performance.now();
  }

  async #list(chosen = part("camera-choice").value) {
    const kinds = [[await cameras(), "camera-choice", "Camera", this.driver.deviceId], [await microphones(), "mic-choice", "Microphone", part("mic-choice").value]];
    for (const [found, id, word, used] of kinds) {
      const options = found.map((one, index) => new Option(one.label || `${word} ${index + 1}`, one.deviceId, false, one.deviceId === used));
      if (id === "camera-choice") options.push(new Option("Puppet (no camera needed)", PUPPET, false, chosen === PUPPET));
      if (!options.length) options.push(new Option("None is connected", ""));
      part(id).replaceChildren(...options);
    }
  }

  #show() {
    const { on, hasVoice } = this.driver;
    part("mirror").dataset.on = String(on);
    if (this.live) this.#showChosen();
    if (!on) part("mirror-words").textContent = "Your camera is off";
    for (const [id, state, word] of [["cam", on, "Camera"], ["mic", hasVoice, "Microphone"]]) {
      part(id).setAttribute("aria-pressed", String(state));
      part(id).querySelector("span").textContent = `${word} ${state ? "on" : "off"}`;
    }
    this.dispatchEvent(new Event("change"));
  }

  #showLevel() {
    if (part("green").hidden) return;
    const level = this.#level.now;
    const now = performance.now();
    if (level > HEARD) this.#loudAt = now;
    part("meter").style.setProperty("--level", String(level));
    part("meter").setAttribute("aria-valuenow", String(Math.round(level * 10) * 10));
    const silent = now - this.#loudAt > QUIET_MS;
    const words = !this.driver.hasVoice ? "Your microphone is off." : silent ? "Nothing is heard. Say something, or choose another microphone." : "Your microphone works.";
    if (part("meter-words").textContent !== words) part("meter-words").textContent = words;
  }
}
