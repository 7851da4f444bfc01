// Looking Glass Bridge on the viewer's own PC: asks it once which displays it sees. Whatever answers on its port is not trusted.

import { parse } from "./calibration.js";
import { reportedQuilt } from "./native.js";

const ADDRESS = "http://localhost:33334/";
const DEVICES = "available_output_devices";
const OTHER_MONITOR = "thirdparty";
/** Bytes. A display's entry with its calibration has about two thousand. */
const LARGEST_ANSWER = 4 << 20;
const MOST_MONITORS = 32;
const ANSWER_MS = 3000;
/** While the browser asks whether this page may reach programs here, the request waits. */
const ASKING_MS = 60000;
const OWN_PC = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/;

/** What Bridge says of a monitor's settings, in words. */
const PROBLEMS = {
  invalidResolution: "its resolution is not the panel’s",
  invalidScale: "its scale is not 100 %",
  invalidOrientation: "it is turned",
  invalidBitDepth: "its colour depth is wrong",
};

/**
 * @typedef {{name: string, source: "bridge"|"file", calibration: import("./calibration.js").Calibration,
 *   quilt: import("./native.js").Quilt|null, place: [number, number]|null, problems: string[]}} Display
 *   quilt: that it asks for, where it says so; place: left and top of its monitor on the desktop; problems: of its monitor's settings, as Bridge told them
 */

/** Bridge cannot be asked, or its answer is not to be used; the message says what to do. */
export class BridgeFailure extends Error {}

/**
 * Every Looking Glass that Bridge sees, and in words what keeps others from being used.
 * @returns {Promise<{displays: Display[], refused: string[]}>}
 * @throws {BridgeFailure}
 */
export async function lookingGlasses() {
  const signal = AbortSignal.timeout(await patience());
  const token = payload(await put("enter_orchestration", { name: `telequilt-${crypto.getRandomValues(new Uint32Array(1))[0]}` }, signal));
  const answer = await put(DEVICES, { orchestration: token }, signal);
  put("exit_orchestration", { orchestration: token }, signal).catch(() => undefined); // it keeps nothing that matters
  const found = payload(answer);
  if (found === null || typeof found !== "object") throw strange();
  const [displays, refused] = [[], []];
  for (const entry of Object.values(found).slice(0, MOST_MONITORS)) {
    try {
      const display = displayOf(valueOf(entry));
      if (display) displays.push(display);
    } catch (failure) {
      refused.push(failure.message);
    }
  }
  return { displays, refused };
}

/** Bridge lists every monitor: null for one that is no Looking Glass. @param {any} entry @returns {Display|null} */
function displayOf(entry) {
  if (entry === null || typeof entry !== "object") throw strange();
  const told = Object.fromEntries(Object.entries(entry).map(([name, variant]) => [name, valueOf(variant)]));
  const [hwid, hardware] = [told.hwid, told.hardwareVersion].map((words) => String(words ?? "").slice(0, 60));
  if (!hwid.includes("LKG") && (!hardware || hardware === OTHER_MONITOR)) return null;
  const name = hwid || hardware;
  const text = typeof told.calibration === "string" ? told.calibration : "";
  const calibration = parse(text, `The calibration that Bridge gives for ${name}`);
  const [x, y] = [told.windowCoords?.x, told.windowCoords?.y];
  const said = JSON.stringify(told.displayProblems ?? ""); // however deep: published clients disagree on the nesting
  return {
    name,
    source: "bridge",
    calibration,
    quilt: reportedQuilt(told.defaultQuilt),
    place: Number.isFinite(x) && Number.isFinite(y) ? [x, y] : null,
    problems: Object.entries(PROBLEMS).filter(([kind]) => said.includes(kind)).map(([, words]) => words),
  };
}

/** What a variant {name, type, value} holds. @param {any} variant */
const valueOf = (variant) => (variant !== null && typeof variant === "object" && "value" in variant ? variant.value : variant);

/** @param {any} answer */
function payload(answer) {
  if (valueOf(answer?.status) !== "Completion") throw strange();
  return valueOf(answer.payload);
}

const strange = () => new BridgeFailure("What answers on this computer at Bridge’s address (localhost:33334) is not Looking Glass Bridge as it is known here. Close the program that uses this address, or update Bridge, then look again; or choose the calibration file.");

/** How long to wait: a page from elsewhere has to be allowed first. */
async function patience() {
  return (await asksFirst()) === "prompt" ? ASKING_MS : ANSWER_MS;
}

/** What the browser holds of pages that reach programs on their user's own PC: "granted", "prompt", "denied", or nothing. */
async function asksFirst() {
  if (OWN_PC.test(location.hostname)) return "granted";
  for (const name of ["loopback-network", "local-network-access"]) {
    const found = await navigator.permissions?.query({ name: /** @type {any} */ (name) }).catch(() => null);
    if (found) return found.state;
  }
  return "";
}

/** @param {string} endpoint @param {object} body @param {AbortSignal} signal */
async function put(endpoint, body, signal) {
  let text;
  try {
    const answer = await fetch(ADDRESS + endpoint, {
      method: "PUT", body: JSON.stringify(body), signal, credentials: "omit", redirect: "error", referrerPolicy: "no-referrer", cache: "no-store",
    });
    text = answer.ok ? await bounded(answer) : "";
  } catch (failure) {
    if (failure instanceof BridgeFailure) throw failure;
    throw await absent();
  }
  try {
    return JSON.parse(text);
  } catch {
    throw strange();
  }
}

async function absent() {
  const start = "Looking Glass Bridge does not answer on this computer.";
  if ((await asksFirst()) === "denied") {
    return new BridgeFailure(`${start} The browser keeps this page from reaching programs here: allow local network access in the page’s settings (left of the address) and look again; or choose the calibration file.`);
  }
  const plain = isSecureContext ? "" : " Pages opened by plain http:// may be kept from it; https:// helps.";
  return new BridgeFailure(`${start} Start it and look again, or choose the calibration file.${plain}`);
}

/** The text of an answer that is no larger than it may be. @param {Response} answer */
async function bounded(answer) {
  const pieces = [];
  let bytes = 0;
  const reader = answer.body.getReader();
  for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
    bytes += value.length;
    if (bytes > LARGEST_ANSWER) {
      void reader.cancel();
      throw strange();
    }
    pieces.push(value);
  }
  return new Blob(pieces).text();
}
