// The server's HTTP side as functions. Holds the access token; knows nothing of WebRTC or of the page.

import { keep, keepList, recall, recallList } from "./storage.js";

/** Where the server's routes begin: this file is served one folder below, so a path prefix in front of both is fine. */
export const ROOT = new URL("../../", import.meta.url);

const KEPT_TOKEN = "telequilt-token";
const KEPT_AVATARS = "telequilt-avatars";

/** An error the server explained (RFC 9457), or the lack of any answer (status 0). */
export class Problem extends Error {
  /**
   * @param {number} status HTTP status, 0 if the server did not answer
   * @param {string} detail what happened and what to do, for people
   * @param {{kind?: string, retryAfter?: number|null, ended?: string}} [more] kind: the server's stable word; retryAfter in
   * seconds; ended: why a call was
   */
  constructor(status, detail, { kind = "", retryAfter = null, ended = "" } = {}) {
    super(sentence(detail));
    this.name = "Problem";
    this.status = status;
    this.kind = kind;
    this.retryAfter = retryAfter;
    this.ended = ended;
  }
}

/** @param {string} words */
const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");

/** Takes `#token=...` out of the address, so that it is neither copied on nor kept in the history. */
export function takeTokenFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!given) return;
  keepToken(given);
  history.replaceState(history.state, "", location.pathname + location.search);
}

/** @param {string} token */
export function keepToken(token) {
  keep("session", KEPT_TOKEN, token);
}

export function hasToken() {
  return recall("session", KEPT_TOKEN) !== null;
}

/** Where a page has a token of its own, such as a call's. @type {() => string} */
let ownToken = () => "";

/** From now on this page speaks with the token that `token` gives, where it gives one. @param {() => string} token */
export function speakWith(token) {
  ownToken = token;
}

/** @returns {Record<string, string>} */
export function authorization() {
  const token = ownToken() || recall("session", KEPT_TOKEN);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/**
 * fetch() with the token; answers that are not 2xx become a Problem.
 * @param {string|URL} path relative to ROOT
 * @param {RequestInit} [init]
 */
export async function ask(path, init = {}) {
  let answer;
  try {
    answer = await fetch(new URL(path, ROOT), { ...init, headers: { ...authorization(), ...init.headers } });
  } catch (failure) {
    if (init.signal?.aborted) throw failure;
    throw new Problem(0, "The server does not answer. Check that it is running and that you are online, then try again.");
  }
  if (!answer.ok) throw await readProblem(answer);
  return answer;
}

/** @param {Response} answer */
async function readProblem(answer) {
  const body = await answer.json().catch(() => ({}));
  const wait = Number(answer.headers.get("Retry-After"));
  return new Problem(answer.status, body.detail || body.title || `The server answered ${answer.status}`, {
    kind: String(body.type ?? "").split(":").pop(),
    retryAfter: wait > 0 ? wait : null,
    ended: body.ended ?? "",
  });
}

/** @param {string} path @param {string} method @param {unknown} [body] as JSON @returns {Promise<any>} what is answered, if anything */
export async function tell(path, method, body) {
  const headers = { "Content-Type": "application/json" };
  const answer = await ask(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  return answer.status === 204 ? null : answer.json();
}

/** @param {string} path */
const json = async (path) => (await ask(path)).json();

/** @param {string} name a channel, engine or avatar id as a path segment */
const segment = (name) => encodeURIComponent(name);

/** @typedef {{id: string, name: string, consent: string, built_in: boolean, engine: string, licence: string}} AvatarEntry */

/**
 * The avatars that this browser may use: those the server lists, and those made here, which a shared server lists to nobody.
 * @returns {Promise<AvatarEntry[]>}
 */
export async function avatars() {
  const listed = await json("api/avatars");
  const unlisted = madeHere().filter((id) => !listed.some((entry) => entry.id === id));
  const found = await Promise.all(unlisted.map((id) => json(`api/avatars/${segment(id)}`).catch(unlessGone(id))));
  return [...listed, ...found.filter((entry) => entry !== null)];
}

/** @returns {string[]} ids */
const madeHere = () => recallList(KEPT_AVATARS);

/** @param {string[]} ids */
const remember = (ids) => keepList(KEPT_AVATARS, ids);

/** @param {string} id */
const unlessGone = (id) => (failure) => {
  if (failure.status !== 404) throw failure;
  remember(madeHere().filter((one) => one !== id));
  return null;
};

/** @param {string} id */
export const avatarPicture = async (id) => (await ask(`api/avatars/${segment(id)}/picture`)).blob();

/**
 * @param {Blob} portrait
 * @param {string} name what it is called on the shelf
 * @param {"me"|"consenting"|"synthetic"} consent
 * @param {number} expression 0..1: how much of the photo's own the avatar keeps
 * @returns {Promise<AvatarEntry>}
 */
export async function enrol(portrait, name, consent, expression, also = []) {
  const form = new FormData();
  form.append("portrait", portrait, "portrait");
  for (const photo of also) form.append("also", photo, "also");
  form.append("name", name);
  form.append("consent", consent);
  form.append("expression", String(expression));
  const entry = await (await ask("api/avatars", { method: "POST", body: form })).json();
  remember([...madeHere(), entry.id]);
  return entry;
}

/** @param {string} id */
export async function forget(id) {
  await ask(`api/avatars/${segment(id)}`, { method: "DELETE" });
  remember(madeHere().filter((one) => one !== id));
}

/** @param {string} name of a call @param {string} [rest] e.g. "/seats" */
export const callPath = (name, rest = "") => `api/calls/${segment(name)}${rest}`;

/** @param {string} name of a call */
export const call = (name) => json(callPath(name));

/** @param {{title?: string, approve?: boolean}} [wanted] @returns {Promise<{call: string, host: {link: string}}>} */
export const makeCall = (wanted = {}) => tell("api/calls", "POST", wanted);

/** @returns {Promise<{name: string, summary: string, failure: string|null}[]>} */
export const engines = () => json("api/engines");

/** Every tiling that this server knows: its own, and displays' own. @returns {Promise<any[]>} */
export const screens = () => json("api/screens");

/** How this server tiles its quilts. @returns {Promise<import("./tiling.js").Screen>} */
export const screen = async () => (await screens()).find((one) => one.default);

/** @param {string} name @param {RequestInit} [init] */
export const channel = async (name, init = {}) => (await ask(`api/channels/${segment(name)}`, init)).json();

/** Whoever drives a portrait that does not look like them says that the person shown agreed. @param {string} name of a channel @param {RequestInit} [init] */
export const confirmLikeness = (name, init = {}) => ask(`api/channels/${segment(name)}/likeness`, { method: "POST", ...init });

/** @param {string} name of a channel */
export const beginRecording = async (name) => (await ask(`api/channels/${segment(name)}/recording`, { method: "POST" })).json();

/** @param {string} name of a channel */
export const endRecording = async (name) => (await ask(`api/channels/${segment(name)}/recording`, { method: "DELETE" })).json();

/** One quilt as PNG, and what to call it. @param {string} name of a channel @returns {Promise<[Blob, string]>} */
export async function still(name) {
  const answer = await ask(`api/channels/${segment(name)}/still`, { method: "POST" });
  const [, called] = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "") ?? [];
  return [await answer.blob(), called ?? `${name}.png`];
}

/** Those kept here; on a shared server those of one channel. @param {string} channel */
export async function recordings(channel) {
  try {
    return await json("api/recordings");
  } catch (failure) {
    if (failure.kind !== "channel-required") throw failure;
    return json(`api/recordings?channel=${segment(channel)}`);
  }
}

/** @param {string} name of a recording */
export const recordingAddress = (name) => new URL(`api/recordings/${segment(name)}`, ROOT).href;

/** @param {string} name of a recording */
export const recordingFile = async (name) => (await ask(`api/recordings/${segment(name)}`)).blob();

/** @param {string} name of a recording */
export const deleteRecording = (name) => ask(`api/recordings/${segment(name)}`, { method: "DELETE" });

/** What is stated of a live channel. @param {string} name */
export const provenance = (name) => json(`api/channels/${segment(name)}/provenance`);

/** What a file says of itself, and whether that can be believed. @param {Blob} file @returns {Promise<any>} server/provenance/verdict.py */
export const verify = async (file) => (await ask("api/verify", { method: "POST", body: file })).json();

/** The scripted face, as one blob: it loops without range requests. */
export const puppetClip = async () => (await ask("puppet.mp4")).blob();

/** @param {string} name */
export const viewerAddress = (name) => new URL(`view/${segment(name)}`, ROOT).href;
