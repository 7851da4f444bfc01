// The call's page: the way in through the green room, the table, and out again.

import * as api from "../shared/api.js";
import { agreed } from "../shared/asking.js";
import { HeadLook, ServerClock } from "../shared/head.js";
import { inWords, part, say } from "../shared/notices.js";
import { Agreeing } from "./agreeing.js";
import { GreenRoom } from "./green.js";
import { invite } from "./invite.js";
import { keepInvitation, keepSeat, keptInvitation, keptSeat, tokenTells } from "./kept.js";
import { Outgoing } from "./outgoing.js";
import { People } from "./people.js";
import { Publication } from "./publication.js";
import { Record } from "./record.js";
import { Room } from "./room.js";
import { Status } from "./status.js";
import { Table } from "./table.js";
import { Talk } from "./talk.js";
import { Unlike } from "./unlike.js";
import { howMany, notIn, out } from "./words.js";

const CALL = decodeURIComponent(location.pathname.replace(/\/$/, "").split("/").pop() ?? "");

const room = new Room();
const green = new GreenRoom(CALL);
const people = new People();
const clock = new ServerClock();
const head = new HeadLook();
const table = new Table(room, CALL);
const status = new Status(() => ({
  at: document.body.dataset.at ?? "",
  talk: talk?.state,
  publication: publication?.state,
  problem: publication?.problem,
  dark: publishes() && !green.driver.on,
  own: room.own,
  strained: table.drawn ? "" : room.strained,
  condition: room.condition,
}));
const record = new Record(room, CALL, (words) => status.announce(words));
const outgoing = new Outgoing(room, CALL, (words) => status.announce(words));
const agreeing = new Agreeing();
const unlike = new Unlike("call-unlike");

/** The link's token; empty for this machine's own user. */
let invitation = "";
/** What it says of itself. @type {any} */
let told = {};
/** @type {Talk|null} */
let talk = null;
/** @type {Publication|null} */
let publication = null;
let muted = false;
let seen = true;
/** Whether this page was loaded anew and takes up how its seat was left. */
let adopting = false;
/** Whether its camera and microphone are being turned on for that. */
let opening = false;
let looking = !matchMedia("(prefers-reduced-motion: reduce)").matches;

api.speakWith(() => talk?.token || invitation);

/* ---- the door ---- */

/** Takes the token out of the address, so that it is neither copied on nor kept in the history. */
function takeInvitation() {
  const given = new URLSearchParams(location.hash.slice(1)).get("t");
  if (given) {
    keepInvitation(CALL, given);
    history.replaceState(history.state, "", location.pathname + location.search);
  }
  invitation = given ?? keptInvitation(CALL);
  try {
    told = invitation ? tokenTells(invitation) : { grants: { publish: true, view: true, host: true, record: true } };
  } catch {
    told = {}; // the server says what is wrong with it
  }
}

const mayRecord = () => Boolean(told.grants?.record);
const invitationId = () => told.jti ?? "";
const publishes = () => (told.grants ? Boolean(told.grants.publish) : true);

async function enter() {
  show("door");
  const kept = keptSeat(CALL, invitationId());
  if (kept) {
    await comeBack(kept);
    return;
  }
  try {
    const state = await api.call(CALL);
    showTitle(state.title);
    const here = state.seats.filter((one) => one.state === "present" || one.state === "away").map((one) => one.name);
    part("who-is-there").textContent = here.length ? `${listed(here)} ${here.length === 1 ? "is" : "are"} here already.` : "Nobody has come yet. You can be the first.";
    part("recorded-part").hidden = state.recording === null || !publishes();
    part("handed-part").hidden = !state.handover || !publishes();
    part("handed-to").textContent = state.handover?.to ?? "";
  } catch (failure) {
    return showOut(notIn(failure));
  }
  show("green");
  part("join").textContent = publishes() ? "Join the call" : "Watch the call";
  part("join").disabled = false;
  await green.open(publishes(), told.name);
}

/** @param {string[]} names */
const listed = (names) => (names.length < 3 ? names.join(" and ") : `${names.slice(0, 2).join(", ")} and ${names.length - 2} more`);

part("join-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [lacking, where] = green.lacking;
  say(part("join-problem"), lacking);
  if (lacking) return part(where).focus();
  part("join").disabled = true;
  part("join").textContent = "Joining…";
  try {
    await join();
  } catch (failure) {
    void green.lock(false);
    if (["bad-parameter", "consent-missing", "unknown-avatar"].includes(failure.kind) || !failure.kind) say(part("join-problem"), inWords(failure));
    else if (failure.kind === "not-everybody-agrees") await askedMeanwhile();
    else showOut(notIn(failure));
  } finally {
    part("join").disabled = false;
    part("join").textContent = publishes() ? "Join the call" : "Watch the call";
  }
});

/** Something began since this page looked: it has to be agreed to. */
async function askedMeanwhile() {
  const { recording, handover } = await api.call(CALL);
  part("recorded-part").hidden = recording === null;
  part("handed-part").hidden = !handover;
  part("handed-to").textContent = handover?.to ?? "";
  const what = recording === null ? `goes out to ${handover?.to}` : "is being recorded";
  say(part("join-problem"), `This call ${what}. Agree to that first, or wait until it is over.`);
}

async function join() {
  muted = !green.driver.hasVoice;
  seen = true;
  const asked = { name: part("name").value.trim(), consent: part("agree").checked, muted };
  if (publishes()) Object.assign(asked, green.look, { recording: part("recorded").checked, handover: part("handed").checked });
  await green.lock(true);
  const taken = await api.tell(api.callPath(CALL, "/seats"), "POST", asked);
  keepSeat(CALL, { invitation: invitationId(), seat: taken.seat, token: taken.token });
  sit(taken.token, false);
}

/** @param {import("./kept.js").Kept} kept the seat of a page that was loaded anew, or whose browser was killed */
async function comeBack(kept) {
  adopting = opening = true;
  sit(kept.token, true);
  void green.lock(true);
  await green.open(publishes()).catch(() => undefined);
  opening = false;
  send();
}

/* ---- the seat ---- */

/** @param {string} token @param {boolean} resume */
function sit(token, resume) {
  const address = new URL(api.callPath(CALL, "/events"), api.ROOT);
  address.protocol = address.protocol.replace("http", "ws");
  talk?.stop();
  talk = new Talk(address.href, token);
  talk.addEventListener("message", (event) => hear(event.detail));
  talk.addEventListener("state", () => status.show());
  talk.addEventListener("over", (event) => leaveTable(out(event.detail.code, event.detail.bye)));
  talk.start(resume);
}

/** @param {any} message */
function hear(message) {
  if (message.t === "look") {
    const now = performance.now();
    return head.hear({ ...message, at: clock.here(message.at, now) }, now);
  }
  if (message.t === "pong") {
    const age = head.tellAge();
    if (age !== null) talk?.say({ t: "stats", look_age_ms: age });
    return clock.answered(message.sent, message.came, message.at);
  }
  if (message.t === "token") {
    return keepSeat(CALL, { invitation: invitationId(), seat: room.me, token: message.token });
  }
  for (const words of room.hear(message)) status.announce(words);
  if (message.t === "welcome") welcomed(message);
  if (message.t === "seat" && message.seat === room.me && message.by === "host" && message.muted) setMuted(true, false);
  if (message.t === "asking") {
    const { what, by, to } = message;
    void agreeing.ask(what, room.nameOf(by), to, (yes) => talk?.say({ t: "agree", [what]: yes }));
  }
  if (message.t === "welcome" || message.t === "likeness") {
    const seat = `${CALL}.${room.me}`;
    unlike.hear(message.likeness ?? message.found, green.avatar, () => api.confirmLikeness(seat));
  }
  if (message.t === "recording") void record.list(mayRecord());
  draw();
}

/** @param {any} message */
function welcomed(message) {
  table.iceServers = message.ice_servers ?? [];
  if (room.own?.state === "waiting") return show("waiting");
  show("call");
  showTitle(room.title);
  if (adopting) [muted, seen] = [room.own?.muted ?? true, room.own?.camera ?? true];
  else talk?.say({ t: "set", muted, camera: seen });
  adopting = false;
  send();
}

/** Publishes, where there is a seat to publish into and something to publish; anew where a voice has come that it lacks. */
function send() {
  if (opening || !publishes() || !room.me || room.own?.state === "waiting" || !green.driver.on) return;
  if (!publication) {
    publication = new Publication(`whip/${CALL}.${room.me}`, table.iceServers);
    publication.addEventListener("state", () => status.show());
  }
  const lacking = green.driver.hasVoice && !publication.hasVoice; // a connection that stands has no place for sound
  if (publication.state !== "off" && !lacking) return;
  green.driver.letVoiceBeHeard(!muted);
  green.driver.letPictureBeSeen(seen);
  publication.start(green.driver.stream(), green.driver.kind);
  part("self-video").srcObject = green.driver.stream();
  void part("self-video").play().catch(() => undefined);
  part("self").dataset.kind = part("mirror").dataset.kind;
}

/** @param {import("./words.js").Said} said */
function leaveTable(said) {
  publication?.stop();
  publication = null;
  table.clear();
  if (said.action !== "back") keepSeat(CALL, null);
  if (said.action !== "back") green.driver.stop();
  room.me = 0;
  room.seats = new Map();
  room.recording = room.handover = null;
  for (const sign of [record, outgoing]) sign.draw();
  void record.list(mayRecord());
  void green.lock(false);
  showOut(said);
}

/* ---- what is shown ---- */

/** @param {"door"|"green"|"waiting"|"call"|"over"} where */
function show(where) {
  document.body.dataset.at = where;
  for (const id of ["green", "call", "over"]) part(id).hidden = id !== where;
  part("door").hidden = where !== "door" && where !== "waiting";
  part("door-title").textContent = where === "waiting" ? "Waiting for the host to let you in" : "Opening the call";
  part("patience").hidden = where !== "waiting";
  part("bar").hidden = where !== "call";
  status.show();
}

/** @param {import("./words.js").Said} said */
function showOut(said) {
  part("over-title").textContent = said.title;
  part("over-words").textContent = said.text;
  part("over-do").hidden = !["back", "again"].includes(said.action ?? "");
  part("over-do").textContent = said.action === "back" ? "Take it back here" : "Join again";
  part("over-do").dataset.action = said.action ?? "";
  show("over");
  part("over-title").focus();
}

part("over-do").addEventListener("click", () => {
  if (part("over-do").dataset.action === "back" && talk) {
    show("door");
    sit(talk.token, false);
  } else {
    talk = null;
    void enter();
  }
});

/** @param {string} title */
function showTitle(title) {
  part("title").textContent = title || "A call";
  document.title = title ? `${title}: Telequilt` : "Telequilt: a call";
}

function draw() {
  if (document.body.dataset.at !== "call") return;
  table.draw();
  people.show(room);
  people.tellWay(table.drawing, room.others);
  record.draw();
  outgoing.draw();
  part("invite").hidden = !room.hosting;
  part("alone-invite").hidden = !room.hosting;
  const lonely = !room.others.length;
  part("alone").hidden = !lonely;
  part("alone-title").textContent = publishes() ? "You are alone here" : "Nobody is here yet";
  part("angle-field").hidden = lonely;
  part("self").hidden = !publishes();
  part("self").dataset.muted = String(muted);
  part("self-off").hidden = seen && green.driver.on;
  part("self-name").textContent = room.own?.name ?? "You";
  part("people-open").title = howMany(room.others.length + Number(publishes()), room.watchers.length);
  for (const id of ["mute", "camera"]) part(id).hidden = !publishes();
  press("mute", muted, muted ? "Unmute" : "Mute");
  press("camera", !seen, seen ? "Camera off" : "Camera on");
  press("look", looking, "Look around");
  table.look = looking ? (now) => head.at(now) : null;
  status.show();
}

/** @param {string} id @param {boolean} on @param {string} words */
function press(id, on, words) {
  part(id).setAttribute("aria-pressed", String(on));
  part(id).querySelector("span").textContent = words;
}

/* ---- what can be done ---- */

/** @param {boolean} now @param {boolean} [tell] */
async function setMuted(now, tell = true) {
  if (!now && !green.driver.hasVoice) {
    if (!(await green.toggleVoice())) return status.tell("There is no microphone that the browser may use.");
  }
  muted = now;
  green.driver.letVoiceBeHeard(!muted);
  if (tell) talk?.say({ t: "set", muted });
  draw();
}

async function setSeen(now) {
  if (now && !green.driver.on) {
    await green.wake();
    send();
  }
  seen = now;
  green.driver.letPictureBeSeen(seen);
  talk?.say({ t: "set", camera: seen });
  draw();
}

function setLooking(now) {
  looking = now;
  status.tell(looking ? "Move your head to look around." : "Looking around by your head is off. Use the mouse, the arrow keys or the slider.");
  draw();
}

const DO = { m: () => void setMuted(!muted), v: () => void setSeen(!seen), l: () => setLooking(!looking) };
part("mute").addEventListener("click", DO.m);
part("camera").addEventListener("click", DO.v);
part("look").addEventListener("click", DO.l);
addEventListener("keydown", (event) => {
  if (document.body.dataset.at !== "call" || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest?.("input:not([type=range]), select, textarea, dialog")) return;
  if (!publishes() && event.key !== "l") return;
  const work = DO[event.key.toLowerCase()];
  if (work) work();
  else if (event.target === document.body) table.turnByKey(event);
});
for (const id of ["invite", "alone-invite"]) part(id).addEventListener("click", () => invite(CALL));
for (const id of ["leave", "give-up"]) part(id).addEventListener("click", () => {
  talk?.say({ t: "leave" });
  leaveTable(out(1000, { why: "left" }));
  talk?.stop();
});
part("hush").addEventListener("click", () => {
  part("hush").hidden = true;
  table.sound();
});
table.addEventListener("hushed", () => (part("hush").hidden = false));
part("self-switch").addEventListener("click", () => table.showSelf(part("self").dataset.as === "camera"));

/** @param {() => Promise<unknown>} work */
const tried = (work) => void work().catch((failure) => status.tell(inWords(failure)));
table.drawing.addEventListener("way", draw);
part("way-switch").addEventListener("click", () => table.drawing.turn());
people.addEventListener("toggle", () => {
  table.draw();
  void record.list(mayRecord());
});
part("record").addEventListener("click", () => tried(() => record.toggle()));
part("outgoing-do").addEventListener("click", () => tried(() => outgoing.toggle()));
people.addEventListener("do", ({ detail: { what, seat } }) => {
  const path = api.callPath(CALL, `/seats/${seat}`);
  if (what === "admit" || what === "decline") talk?.say({ t: "approve", seat, yes: what === "admit" });
  else if (what === "mute") tried(() => api.tell(path, "PATCH", { muted: true }));
  else tried(async () => {
    const question = { title: `Take ${room.nameOf(seat)} out of the call?`, words: "They need a new link to come back.", yes: "Take out", no: "Keep" };
    if (await agreed(question)) await api.tell(path, "DELETE");
  });
});
part("lock").addEventListener("change", () => tried(() => api.tell(api.callPath(CALL), "PATCH", { locked: part("lock").checked })));
part("end").addEventListener("click", () => tried(async () => {
  const question = { title: "End the call for everybody?", words: "Everybody is sent out, and all links stop working.", yes: "End it", no: "Go on" };
  if (await agreed(question)) await api.tell(api.callPath(CALL), "DELETE");
}));

/* ---- the world around ---- */

green.addEventListener("change", () => {
  if (document.body.dataset.at === "call" && publication && !green.driver.on) publication.stop();
  send();
  draw();
});
document.addEventListener("visibilitychange", () => {
  talk?.say({ t: "watching", visible: !document.hidden });
  draw();
});
for (const [who, event] of [[window, "online"], [navigator.connection, "change"]]) {
  who?.addEventListener?.(event, () => {
    talk?.hurry();
    if (document.body.dataset.at === "call" && publication?.state !== "off") publication?.again();
  });
}
addEventListener("pagehide", () => {
  void green.lock(true);
  publication?.stop();
  table.clear();
});
addEventListener("pageshow", (event) => event.persisted && location.reload()); // a page kept in memory has lost its call
addEventListener("hashchange", () => location.reload()); // another link of this call was opened here

takeInvitation();
await enter();
