// The viewer's page: one channel, shown as a window, as the whole quilt, as ordinary video, or on a Looking Glass.

import { hasToken, provenance, takeTokenFromAddress } from "../shared/api.js";
import { ConditionSign } from "../shared/condition.js";
import { Following } from "../shared/following.js";
import { Headset, offered } from "../geometry/headset.js";
import { LookingGlass } from "./lookingglass.js";
import { askForToken, part } from "../shared/notices.js";
import { OutgoingSign } from "../shared/outgoing.js";
import { Recorder } from "../shared/recording.js";
import { showStated } from "../shared/stated.js";
import { Stage } from "../shared/player.js";

const HIDE_CONTROLS_MS = 3000;
const TELL_WAY_MS = 1000;
const AIR_WORDS = {
  connecting: "Connecting", live: "Live", waiting: "Waiting", warming: "Waiting", full: "Full", lost: "Reconnecting", refused: "Stopped", stopped: "Stopped",
};

const channel = decodeURIComponent(location.pathname.split("/").pop() ?? "");
const stage = new Stage(part("stage"), part("angle"), part("surface"));
const glass = new LookingGlass(stage, part("surface"));
const recorder = new Recorder(part("stage").querySelector(".glass"));
const outgoing = new OutgoingSign(part("stage").querySelector(".glass"));
const sign = new ConditionSign(part("stage").querySelector(".glass"), "viewer");
const following = new Following();
/** States in which somebody may be live, of whom the server can tell. */
const FOLLOWED = ["connecting", "live", "lost"];
let hiding = 0;
/** The kind of session for headsets that the browser offers, and the one that is worn. */
let immersion = "";
let headset = null;

async function stateChanged() {
  document.body.dataset.live = String(stage.state === "live");
  part("air").dataset.on = String(stage.state === "live");
  part("air-words").textContent = AIR_WORDS[stage.state];
  tellWay();
  if (stage.state === "live") {
    recorder.follow(channel);
    void tellWhat();
  }
  if (FOLLOWED.includes(stage.state)) following.follow(channel);
  else gone();
  if (stage.state === "refused" && stage.problem?.status === 401 && (await askForToken(hasToken()))) stage.play(channel);
}

/** @param {any} facts as GET /api/channels/{channel} gives them */
function hear(facts) {
  recorder.hear(facts);
  outgoing.show(facts.handover);
  stage.hear(facts.condition);
  const lessDetail = facts.condition?.state === "slowed-down"; // of pictures: what is drawn here has all of it
  const shortly = sign.show(lessDetail && stage.actor ? null : facts.condition);
  if (document.body.dataset.live === "true") part("air-words").textContent = shortly || AIR_WORDS.live;
}

/** What is seen, in the words that are signed into its films: a face may be a puppet's, or a film's. */
async function tellWhat() {
  try {
    const { lines } = await provenance(channel);
    part("what").textContent = lines[0][1];
  } catch {
    // whoever asks what is stated is told why it cannot be known
  }
}

/** Nobody is live here any more. */
function gone() {
  headset?.end();
  following.leave();
  recorder.leave();
  outgoing.show(null);
  sign.show(null);
  stage.hear(null);
}

/** How it comes here, and how old what is drawn here is. */
function tellWay() {
  const { actor, state } = stage;
  const { choice } = stage.drawing;
  part("way").hidden = state !== "live" || stage.mode === "video";
  const now = performance.now();
  const drawn = actor?.heard ? `, ${Math.max(0, Math.round(actor.age(now, following.clock)))} ms old` : "";
  const words = choice.words + drawn;
  if (part("way-words").textContent !== words) part("way-words").textContent = words;
  part("way-switch").hidden = !choice.free;
  part("way-switch").textContent = choice.offer;
  part("headset").hidden = !immersion || !actor?.figure;
}

async function toggleHeadset() {
  if (headset) return headset.end();
  try {
    headset = await Headset.worn(stage.actor, immersion);
    headset.addEventListener("ended", () => {
      headset = null;
      part("headset").setAttribute("aria-pressed", "false");
    });
    part("headset").setAttribute("aria-pressed", "true");
  } catch {
    part("way-words").textContent = "The headset did not begin. Put it on, look whether its own program runs, and try again.";
  }
}

function modeChanged() {
  document.body.dataset.mode = stage.mode;
  if (stage.mode === "hologram") glass.enter();
  else glass.leave();
  document.querySelector(`input[name="mode"][value="${stage.mode}"]`).checked = true;
}

function toggleSound() {
  stage.video.muted = !stage.video.muted;
  stage.video.play().catch(() => undefined); // a browser that held it back for want of a gesture has one now
  part("sound").setAttribute("aria-pressed", String(!stage.video.muted));
}

function toggleFullscreen() {
  if (document.fullscreenElement) void document.exitFullscreen();
  else void document.documentElement.requestFullscreen().catch(() => undefined); // refused by policy: nothing changes
}

/** @param {KeyboardEvent} event */
function fullscreenByKey(event) {
  const elsewhere = event.ctrlKey || event.metaKey || event.altKey || event.repeat || document.querySelector("dialog[open]");
  if (event.key.toLowerCase() === "f" && !elsewhere) toggleFullscreen();
}

async function toggleTilt() {
  const on = part("tilt").getAttribute("aria-pressed") !== "true";
  if (!on) stage.hologram.ignoreTilt();
  const works = on && (await stage.hologram.followTilt());
  part("tilt").setAttribute("aria-pressed", String(works));
}

/** In full screen the controls go away while nothing moves. */
function stir() {
  clearTimeout(hiding);
  document.body.dataset.idle = "false";
  hiding = setTimeout(() => (document.body.dataset.idle = "true"), HIDE_CONTROLS_MS);
}

stage.addEventListener("state", () => void stateChanged());
following.addEventListener("facts", (event) => hear(event.detail));
following.addEventListener("gone", gone);
stage.addEventListener("mode", modeChanged);
stage.addEventListener("way", tellWay);
setInterval(tellWay, TELL_WAY_MS);
part("way-switch").addEventListener("click", () => stage.drawing.setWish(stage.drawing.choice.here ? "pictures" : "here"));
part("modes").addEventListener("change", (event) => stage.setMode(event.target.value));
part("sound").addEventListener("click", toggleSound);
part("full").addEventListener("click", toggleFullscreen);
part("headset").addEventListener("click", () => void toggleHeadset());
part("stated").addEventListener("click", () => void showStated(channel));
part("tilt").addEventListener("click", () => void toggleTilt());
document.addEventListener("fullscreenchange", () => part("full").setAttribute("aria-pressed", String(Boolean(document.fullscreenElement))));
for (const kind of ["pointermove", "keydown", "pointerdown"]) addEventListener(kind, stir);
addEventListener("keydown", fullscreenByKey);
part("surface").addEventListener("dblclick", (event) => {
  if (stage.mode === "hologram" && !event.target.closest("button, label")) toggleFullscreen();
});
addEventListener("keydown", (event) => {
  if (!(event.target instanceof HTMLInputElement) && stage.mode === "window") stage.hologram.turnByKey(event);
});
addEventListener("pagehide", () => stage.stop());
addEventListener("pageshow", (event) => event.persisted && stage.play(channel));

takeTokenFromAddress();
void offered().then((kind) => (immersion = kind));
part("title").textContent = channel;
document.title = `${channel}: an AI avatar, live on Telequilt`;
part("full").hidden = !document.documentElement.requestFullscreen;
part("tilt").hidden = !("DeviceOrientationEvent" in globalThis) || !matchMedia("(pointer: coarse)").matches;
modeChanged();
stage.play(channel);
