// Kept: what this browser remembers of a call: who one is there. A killed browser has no session storage any more, so it is kept for
// good, and useless within ten minutes: a seat's token lives no longer.

import { keep, recall } from "../shared/storage.js";

const NAME = "telequilt-call-name";

/** @typedef {{invitation: string, seat: number, token: string}} Kept invitation: its id, of whom the seat is */

/** @param {string} call */
const key = (call) => `telequilt-call-${call}`;

/** The seat that was taken with `invitation`, if that is remembered. @param {string} call @param {string} invitation @returns {Kept|null} */
export function keptSeat(call, invitation) {
  try {
    const kept = JSON.parse(recall("local", key(call)) ?? "null");
    return kept && kept.invitation === invitation && tokenTells(kept.token).exp * 1000 > Date.now() ? kept : null;
  } catch {
    return null;
  }
}

/** @param {string} call @param {Kept|null} kept */
export const keepSeat = (call, kept) => keep("local", key(call), JSON.stringify(kept));

/** The invitation that a tab came with, so that it can be loaded again. @param {string} call */
export const keptInvitation = (call) => recall("session", `telequilt-invitation-${call}`) ?? "";

/** @param {string} call @param {string} token */
export const keepInvitation = (call, token) => keep("session", `telequilt-invitation-${call}`, token);

export const keptName = () => recall("local", NAME) ?? "";

/** @param {string} name */
export const keepName = (name) => keep("local", NAME, name);

/** What a token says of itself; the server alone can tell whether it is true. @param {string} token @returns {any} */
export function tokenTells(token) {
  const [, claims = ""] = token.split(".");
  const bytes = Uint8Array.from(atob(claims.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}
