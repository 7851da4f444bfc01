// Words: what people read in each state of a call, and what they can do then. Pure.

/** @typedef {{title: string, text: string, action?: "back"|"again"|"home"}} Said action: take the seat back, join again, or begin anew */

/** @type {Record<string, Said>} by the kind of a problem while joining */
const NOT_IN = {
  "no-such-call": { title: "There is no such call", text: "The link may be incomplete, or the call is over. Ask whoever sent it for a new one.", action: "home" },
  "no-such-seat": { title: "Your place is gone", text: "You were away for too long. Join again.", action: "again" },
  "call-lost": { title: "The call was lost", text: "The server was started anew, and a call does not outlive that. Whoever made it can start another one and send its new link.", action: "home" },
  "call-ended": { title: "The call has ended", text: "Everybody has left, or the host has ended it.", action: "home" },
  "token-required": { title: "This link lacks its key", text: "Open the whole link that you were sent, with all that follows the #.", action: "home" },
  "token-expired": { title: "This invitation has expired", text: "Ask the host for a new link.", action: "home" },
  "invitation-used": { title: "This invitation has been used", text: "Each link lets in as many people as the host said. Ask for another one.", action: "home" },
  "invitation-revoked": { title: "This invitation was taken back", text: "Ask the host for a new link.", action: "home" },
  "call-locked": { title: "The call is locked", text: "The host lets nobody new in just now. Try again in a moment.", action: "again" },
  "call-full": { title: "The call is full", text: "All seats are taken. Try again when somebody has left.", action: "again" },
  "too-many-callers": { title: "The server is busy", text: "It cannot show one more person just now. Try again in a moment.", action: "again" },
  "too-many-requests": { title: "Too many tries", text: "Wait a minute, then try again.", action: "again" },
};

/** @param {{kind?: string, message?: string}} problem @returns {Said} */
export const notIn = (problem) =>
  NOT_IN[problem.kind ?? ""] ?? { title: "You cannot join just now", text: problem.message ?? "", action: "again" };

/** @type {Record<string, Said>} by the server's reason for its goodbye */
const OUT = {
  left: { title: "You have left the call", text: "Others see that you are gone.", action: "again" },
  replaced: { title: "You are in this call in another window", text: "Your seat went there. This window does nothing until you say so.", action: "back" },
  removed: { title: "The host has taken you out", text: "Whoever leads the call decided so.", action: "home" },
  denied: { title: "You were not let in", text: "Whoever leads the call decided so.", action: "home" },
  unanswered: { title: "Nobody let you in", text: "The host may be busy. You can ask again.", action: "again" },
  lost: { title: "You were away for too long", text: "Your seat was given up. Join again to come back.", action: "again" },
};

/** @type {Record<number, string>} by the socket's close code, where no goodbye came */
const BY_CODE = { 1000: "left", 4403: "removed", 4409: "replaced" };

/** Why one is out. @param {number} code of the socket's close @param {{why?: string}|null} bye @returns {Said} */
export function out(code, bye) {
  if (bye?.why === "call-lost") return NOT_IN["call-lost"];
  const known = OUT[bye?.why ?? BY_CODE[code] ?? ""];
  if (known) return known;
  if (code === 4404) return NOT_IN["no-such-call"];
  if (code === 4401) return { title: "Your place has expired", text: "This page was asleep for too long. Join again.", action: "again" };
  return { title: "The call has ended", text: bye?.why ? sentence(bye.why) : "Everybody has left, or the host has ended it.", action: "home" };
}

/** @param {string} words */
export const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".");

/**
 * What stands on somebody's place instead of a hologram, or over the last one; null where nothing has to be said.
 * @param {import("./room.js").Seat} seat
 * @param {string} playback its state on this page (whep.js)
 * @param {boolean} [heardOnly] the link to this page carries no picture
 * @returns {{title: string, text: string, busy: boolean}|null}
 */
export function ofSeat(seat, playback, heardOnly = false) {
  const { name } = seat;
  if (seat.state === "away") return { title: `${name} is coming back`, text: "The connection to them was lost.", busy: true };
  if (seat.state === "joining") return { title: `${name} is coming in`, text: "", busy: true };
  if (!seat.camera) return { title: `${name}’s camera is off`, text: "", busy: false };
  if (seat.publishing === "none") return { title: `${name} is here`, text: "There is no picture yet.", busy: false };
  if (seat.publishing === "connecting") return { title: `Connecting to ${name}`, text: "", busy: true };
  if (seat.publishing === "stalled") return { title: `${name}’s line is bad`, text: "This is the last picture.", busy: true };
  if (heardOnly) return { title: "Your line is bad", text: `You hear ${name}. The picture comes back once the line carries it.`, busy: false };
  if (playback === "live") return null;
  if (playback === "lost") return { title: "Your line is bad", text: `Getting ${name} back.`, busy: true };
  if (playback === "full") return { title: "The server is full", text: `It cannot send ${name} to you just now. Trying again.`, busy: true };
  if (playback === "refused") return { title: `${name} cannot be shown`, text: "Holograms are sent as H.264 video, which this browser cannot play.", busy: false };
  return { title: `Connecting to ${name}`, text: "", busy: true };
}

/** How somebody's line in the list of people goes on after the name. @param {import("./room.js").Seat} seat */
export function inList(seat) {
  if (seat.state === "waiting") return "wants to come in";
  if (seat.state === "away") return "coming back";
  if (seat.state === "joining") return "coming in";
  if (seat.role === "viewer") return "watches";
  if (seat.role === "recorder") return "records";
  if (seat.muted) return seat.by === "host" ? "muted by the host" : "muted";
  if (!seat.camera) return "camera off";
  return seat.role === "host" ? "leads the call" : "";
}

/** @param {number} uses @param {number} expires seconds since 1970 @param {Date} now @returns {string} what a link is good for */
export function goodFor(uses, expires, now) {
  const until = new Date(expires * 1000);
  const day = until.toDateString() === now.toDateString() ? "today" : until - now < 36 * 3600e3 ? "tomorrow" : until.toLocaleDateString();
  const time = until.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return `${uses === 1 ? "Lets in one person" : `Lets in ${uses} people`}, until ${day}, ${time}.`;
}

/** @param {number} count of those here, oneself included @param {number} watchers */
export function howMany(count, watchers) {
  const here = count === 1 ? "Only you" : `${count} people`;
  return watchers ? `${here}, ${watchers} watching` : here;
}
