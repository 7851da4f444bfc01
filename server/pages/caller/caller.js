// The caller's page: puts the three steps together, and runs the channel.

import * as api from "../shared/api.js";
import { ConditionSign } from "../shared/condition.js";
import { cameras, Driver } from "../shared/drivers.js";
import { showFilms } from "./films.js";
import { Following } from "../shared/following.js";
import { keepChannel, suggestedChannel } from "./names.js";
import { inWords, part, say, whenWarm, withToken } from "../shared/notices.js";
import { OutgoingSign } from "../shared/outgoing.js";
import { Recorder } from "../shared/recording.js";
import { Shelf } from "../shared/gallery.js";
import { Stage } from "../shared/player.js";
import { clearReport, showReport } from "./report.js";
import { publish } from "../shared/whip.js";

const driver = new Driver(part("driver-video"));
const stage = new Stage(part("stage"), part("angle"));
const recorder = new Recorder(part("stage").querySelector(".glass"));
const outgoing = new OutgoingSign(part("stage").querySelector(".glass"));
const sign = new ConditionSign(part("stage").querySelector(".glass"), "caller");
const following = new Following();
const shelf = new Shelf(driver, () => startDriver("camera"), patiently);

/** @type {import("../shared/whip.js").Session|null} */
let session = null;
/** @type {typeof session} which was lost, and is dialled anew */
let redialling = null;

/* ---- a call between people ---- */

part("call").addEventListener("click", async () => {
  const button = part("call");
  button.disabled = true;
  say(part("call-problem"), "");
  try {
    const made = await whenWarm(api.makeCall, (words) => say(part("call-problem"), words));
    location.assign(new URL(made.host.link, api.ROOT));
  } catch (failure) {
    say(part("call-problem"), inWords(failure));
    button.disabled = false;
  }
});

/* ---- step 1: who drives ---- */

const WHO_SEES = "Only you see this preview. Viewers see the avatar.";
/** Beside the preview, by kind of driver: what to know before it is on, while it is being turned on, and after. */
const HINTS = {
  camera: [
    "Your browser asks first. The picture only goes to this server, which reads your expression and keeps nothing.",
    "Answer your browser’s question about the camera.",
    WHO_SEES,
  ],
  file: ["A clip of one face, looking at the camera. It plays in a loop and is not kept.", "Opening the video…", WHO_SEES],
  puppet: [
    "A scripted face that talks, blinks and looks around. No camera needed.",
    "The puppet is getting dressed. The first time takes a few seconds.",
    WHO_SEES,
  ],
};
/** What *Start* says while the chosen one is not ready, by kind. @type {Record<string, string>} */
const WAITING_FOR = { camera: "Waiting for the camera…", file: "Waiting for the video…", puppet: "Waiting for the puppet…" };

/** What is being turned on, if anything; whether it runs then. @type {Promise<boolean>|null} */
let turningOn = null;
/** Whether somebody has said what drives, so that nothing is chosen for them any more. */
let kindChosen = false;

const driverKind = () => document.querySelector('input[name="driver"]:checked').value;

/** @param {string} kind */
function selectKind(kind) {
  document.querySelector(`input[name="driver"][value="${kind}"]`).checked = true;
  for (const panel of document.querySelectorAll("[data-for]")) panel.hidden = panel.dataset.for !== kind;
  part("mirror").dataset.kind = kind;
}

/** Turns on what `kind` says. @param {string} kind @returns {Promise<boolean>} whether it runs now */
function startDriver(kind) {
  say(part("driver-problem"), "");
  selectKind(kind);
  const mine = turnOn(kind).finally(() => {
    if (turningOn === mine) turningOn = null; // else something else was chosen meanwhile
    showDriver();
  });
  turningOn = mine;
  showDriver();
  return mine;
}

/** @param {string} kind @returns {Promise<boolean>} */
async function turnOn(kind) {
  try {
    if (kind === "camera") await driver.useCamera(part("camera-choice").value || undefined);
    else if (kind === "puppet") await patiently(() => driver.usePuppet());
    else if (part("driver-file").files[0]) await driver.useClip(part("driver-file").files[0]);
    else say(part("driver-problem"), "Choose a video file first.");
  } catch (failure) {
    if (kind === driverKind()) say(part("driver-problem"), inWords(failure));
  }
  return driver.on;
}

/**
 * Waits until what drives is on; what is being turned on already is waited for, and what is chosen instead meanwhile.
 * @param {(words: string) => void} tell what is waited for
 * @returns {Promise<boolean>} whether it is on
 */
async function driverReady(tell) {
  let asked = "";
  while (!driver.on) {
    const kind = driverKind();
    if (!turningOn && asked === kind) return false;
    if (!turningOn) asked = kind;
    tell(WAITING_FOR[kind]);
    await (turningOn ?? startDriver(kind));
  }
  return true;
}

function showDriver() {
  part("mirror").dataset.on = String(driver.on);
  part("camera-switch").textContent = driver.on ? "Turn off camera" : "Turn on camera";
  part("voice").checked = driver.hasVoice;
  const moment = driver.on ? 2 : Number(turningOn !== null);
  if (driver.on) takeBack(NOTHING_DRIVES);
  for (const [kind, words] of Object.entries(HINTS)) part(`${kind}-hint`).textContent = words[moment];
}

async function showCameras() {
  const found = await cameras();
  const named = found.filter((camera) => camera.label);
  const options = named.map((camera) => new Option(camera.label, camera.deviceId, false, camera.deviceId === driver.deviceId));
  part("camera-choice").replaceChildren(...options);
  part("camera-field").hidden = named.length < 2;
  return found.length;
}

async function driverChanged() {
  showDriver();
  if (driver.on && driverKind() === "camera") await showCameras();
  if (!driver.on && session) await endCall("The camera stopped, so the call ended. Start again when it is back.");
}

/** Settles once the microphone is as the switch says. */
let voiceSet = Promise.resolve();

async function setVoice() {
  say(part("driver-problem"), "");
  const wanted = part("voice").checked;
  if (session) return driver.letVoiceBeHeard(wanted);
  try {
    await driver.useVoice(wanted);
  } catch (failure) {
    part("voice").checked = false;
    say(part("driver-problem"), inWords(failure));
  }
}

driver.addEventListener("change", () => void driverChanged());
part("driver-kind").addEventListener("change", () => {
  kindChosen = true;
  driver.stop();
  say(part("driver-problem"), "");
  selectKind(driverKind());
  if (driverKind() === "puppet") void startDriver("puppet");
});
part("camera-switch").addEventListener("click", () => (driver.on ? driver.stop() : void startDriver("camera")));
part("camera-choice").addEventListener("change", () => driver.on && void startDriver("camera"));
part("driver-file").addEventListener("change", (event) => {
  if (event.target.files[0]) void startDriver("file");
});
part("voice").addEventListener("change", () => (voiceSet = setVoice()));
navigator.mediaDevices?.addEventListener?.("devicechange", () => void showCameras());

/* ---- step 2: who they see ---- */

/** Settles once what can be chosen is there, and chosen as far as it can be without asking. @type {Promise<void>} */
let stocked = Promise.resolve();

function showChosen() {
  part("chosen").hidden = !shelf.picture;
  if (shelf.picture) part("chosen").src = shelf.picture;
  part("idle-words").textContent = shelf.chosen
    ? "Comes alive when you start"
    : shelf.picture ? "Your portrait" : "Make an avatar, or choose one";
}

/** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
function patiently(work) {
  return whenWarm(work, (words) => (words ? (part("idle-words").textContent = words) : showChosen()));
}

shelf.addEventListener("change", showChosen);
for (const source of [recorder, shelf]) {
  for (const kind of ["ended", "forgotten"]) source.addEventListener(kind, () => void showFilms(part("channel").value));
}

/* ---- step 3: the call ---- */

async function stock() {
  await shelf.load("sample");
  await showEngines();
  if ((await showCameras()) === 0 && !kindChosen) selectKind("puppet");
}

async function showEngines() {
  const loadable = (await withToken(api.engines).catch(() => [])).filter((engine) => !engine.failure);
  part("engine").replaceChildren(...loadable.map((engine) => new Option(engine.name, engine.name, engine.default, engine.default)));
  const tell = () => {
    const shown = loadable.find(({ name }) => name === (shelf.engine || part("engine").value));
    part("engine-field").hidden = loadable.length < 2 || shelf.engine !== "";
    part("brought-only").hidden = !shown?.brought || shelf.engine !== "";
    part("given").hidden = !shown?.geometry;
  };
  part("engine").addEventListener("change", tell);
  shelf.addEventListener("change", tell);
  tell();
}

const NOTHING_DRIVES = "Nothing drives the avatar yet: see step 1.";

/** What still keeps the call from starting, if anything. @param {(words: string) => void} tell what is waited for */
async function missing(tell) {
  if (!part("channel").value || !part("channel").checkValidity()) {
    part("channel").focus();
    return "Give the channel a name of letters, digits, - and _.";
  }
  await stocked; // who starts at once means what is about to be chosen
  if (!shelf.chosen) return "Choose an avatar in step 2, or make one.";
  await voiceSet;
  return (await driverReady(tell)) ? "" : NOTHING_DRIVES;
}

/** @returns {Promise<import("../shared/whip.js").Session>} */
function dial() {
  const path = new URLSearchParams({ avatar: shelf.chosen, driver: driver.kind });
  const engine = shelf.engine || part("engine").value;
  if (engine) path.set("engine", engine);
  return publish(`whip/${encodeURIComponent(part("channel").value)}?${path}`, driver.stream());
}

async function startCall() {
  goLive(await patiently(dial));
  scrollTo(0, 0); // the steps have made room
}

/** @param {import("../shared/whip.js").Session} begun */
function goLive(begun) {
  const channel = part("channel").value;
  session = begun;
  session.connection.addEventListener("connectionstatechange", (event) => {
    const broken = ["failed", "closed"].includes(event.target.connectionState);
    if (broken && session?.connection === event.target) void dialAgain();
  });
  keepChannel(channel);
  showLive(channel);
  stage.play(channel);
  recorder.follow(channel);
  following.follow(channel);
}

const LOST = "The connection to the server was lost. Start again.";
const DIAL_AGAIN_FOR_MS = 45_000;
const DIAL_AGAIN_EVERY_MS = 1000;
/** What a server that starts, has not missed the lost call yet, or is asked by many from here answers; 0: nothing. */
const FOR_NOW = [0, 404, 409, 429, 502, 503, 504];

/** The line, the server or the machine with this call was lost: the camera stays on, and the call begins again by itself, where it is
 * let in within a while. */
async function dialAgain() {
  const lost = session;
  if (!lost || lost === redialling) return;
  redialling = lost;
  const until = performance.now() + DIAL_AGAIN_FOR_MS;
  following.leave();
  sign.show(null);
  part("air-words").textContent = "Reconnecting";
  lost.connection.close();
  while (session === lost && driver.on) {
    try {
      const begun = await dial();
      if (session === lost) goLive(begun);
      else begun.abandon(); // stopped meanwhile
    } catch (failure) {
      if (!FOR_NOW.includes(failure.status) || performance.now() > until) await endCall(LOST);
      else await new Promise((done) => setTimeout(done, Math.max(DIAL_AGAIN_EVERY_MS, 1000 * (failure.retryAfter ?? 0))));
    }
  }
  redialling = null;
}

/** @param {string} [words] why, if it was not asked for */
async function endCall(words = "") {
  const ending = session;
  session = null; // first: what stops from here on is meant to
  following.leave();
  sign.show(null);
  outgoing.show(null);
  stage.stop();
  driver.stop();
  setOnAir(false);
  clearReport();
  sayAtStart(words);
  await ending?.stop();
  recorder.leave(); // last: with the call its recording ends, and is complete
}

/** @param {string} words why there is no call; the button that was pressed may be at the window's lower edge */
function sayAtStart(words) {
  say(part("start-problem"), words);
  if (words) part("start-problem").scrollIntoView({ block: "nearest" });
}

/** What was said at the button is not true any more. @param {string} words */
function takeBack(words) {
  if (part("start-problem").textContent === words) say(part("start-problem"), "");
}

/** @param {string} channel */
function showLive(channel) {
  setOnAir(true);
  part("link").value = api.viewerAddress(channel);
  part("open").href = api.viewerAddress(channel);
  part("link-hint").hidden = !api.hasToken();
}

/** @param {boolean} on */
function setOnAir(on) {
  part("air").dataset.on = String(on);
  part("air-words").textContent = on ? "On air" : "Off air";
  part("start").textContent = on ? "Stop" : "Start";
  part("start").dataset.live = String(on);
  part("live").hidden = !on;
  document.body.dataset.live = String(on);
  part("start-title").lastChild.textContent = on ? "You are live" : "Go live";
  part("voice").disabled = on && !driver.hasVoice; // a call that began without sound has no place for it
  for (const id of ["driver-kind", "camera-choice", "camera-switch", "driver-file", "channel", "engine"]) part(id).disabled = on;
  shelf.lock(on);
}

/** @param {any} facts as GET /api/channels/{channel} gives them */
function hear(facts) {
  if (!session) return;
  showReport(facts, stage.state === "live" ? 1 : 0);
  sign.show(facts.condition);
  stage.hear(facts.condition);
  outgoing.show(facts.handover);
  recorder.hear(facts);
  part("unlike").hidden = facts.likeness !== "unlike";
}

/** @param {string} why in the server's words; empty where it does not know */
function ended(why) {
  if (!session) return;
  if (why) void endCall(`The server ended the call: ${why}. Start again.`);
  else void dialAgain(); // it knows of no end: it is another one, or has begun anew
}

async function startOrStop() {
  const button = part("start");
  button.disabled = true;
  button.textContent = session ? "Stopping…" : "Starting…";
  say(part("start-problem"), "");
  try {
    if (session) return await endCall();
    const lacking = await missing((words) => (button.textContent = words));
    button.textContent = "Starting…";
    if (lacking) return sayAtStart(lacking);
    await startCall();
  } catch (failure) {
    sayAtStart(inWords(failure));
  } finally {
    button.disabled = false;
    button.textContent = session ? "Stop" : "Start";
    button.focus({ preventScroll: true });
  }
}

part("start").addEventListener("click", () => void startOrStop());
following.addEventListener("facts", (event) => hear(event.detail));
following.addEventListener("gone", (event) => ended(event.detail));
part("confirm-likeness").addEventListener("click", async () => {
  await api.confirmLikeness(part("channel").value).then(() => (part("unlike").hidden = true), (failure) => sayAtStart(inWords(failure)));
});
part("copy").addEventListener("click", async () => {
  part("link").select();
  await navigator.clipboard?.writeText(part("link").value).catch(() => undefined); // what is selected can still be copied by hand
  part("copy").textContent = "Copied";
  setTimeout(() => (part("copy").textContent = "Copy"), 2000);
});
addEventListener("pagehide", () => session?.abandon());
addEventListener("pageshow", (event) => event.persisted && location.reload()); // a page kept in memory has lost its call

api.takeTokenFromAddress();
part("channel").value = suggestedChannel();
selectKind("camera");
showDriver();
part("start").disabled = false; // before, a press would have been lost
stocked = stock();
await stocked;
await showFilms(part("channel").value);
