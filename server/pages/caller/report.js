// What the server says of the channel that is on air, as figures and bars on the caller's page.

import { part } from "../shared/notices.js";
import { showTimings } from "./timings.js";

/**
 * @param {any} facts as GET /api/channels/{channel} gives them
 * @param {number} own how many of the viewers are this page itself
 */
export function showReport({ viewers, session, streams }, own) {
  part("viewers").textContent = String(Math.max(0, viewers - own));
  measured(part("rate"), session.fps, "");
  // what viewers get is older than what the last stage gave: it was handed over to their senders
  measured(part("age"), Math.max(session.age.p50, ...streams.map(({ age }) => age.p50)), "ms");
  showTimings(part("timings"), session.stages);
  part("drops").textContent = dropWords(session.drops);
}

export function clearReport() {
  for (const id of ["rate", "age"]) measured(part(id), 0, "");
  part("viewers").textContent = "0";
  part("timings").tBodies[0].replaceChildren();
}

/** @param {HTMLElement} place @param {number} value 0 until something was measured @param {string} unit */
function measured(place, value, unit) {
  place.textContent = value ? String(Math.round(value)) : "–";
  if (unit && value) place.append(Object.assign(document.createElement("small"), { textContent: unit }));
}

/** What was thrown away, in one line. @param {Record<string, number>} drops by reason */
function dropWords(drops) {
  const some = Object.entries(drops).filter(([, count]) => count > 0);
  return some.length ? some.map(([reason, count]) => `${count} ${reason.replaceAll("_", " ")}`).join(", ") : "none";
}
