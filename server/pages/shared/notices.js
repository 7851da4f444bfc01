// Telling people what went wrong, where it went wrong; and asking for the token when the server wants one.

import { hasToken, keepToken, Problem } from "./api.js";
import { agreed } from "./asking.js";

/** @param {string} id @returns {any} the element that the page is known to have */
export const part = (id) => {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
};

/** @param {HTMLElement} notice @param {string} words nothing hides it */
export function say(notice, words) {
  notice.textContent = words;
  notice.hidden = !words;
}

/** @param {unknown} failure */
export const inWords = (failure) => (failure instanceof Error ? failure.message : String(failure));

/**
 * Runs `work`; where the server wants a token, asks for it once and runs it again.
 * @template T
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withToken(work) {
  try {
    return await work();
  } catch (failure) {
    if (!(failure instanceof Problem) || failure.status !== 401 || !(await askForToken(hasToken()))) throw failure;
    return withToken(work);
  }
}

/**
 * Runs `work`; while the server warms up, says so and tries again.
 * @template T
 * @param {() => Promise<T>} work
 * @param {(words: string) => unknown} tell called with nothing once it is over
 * @returns {Promise<T>}
 */
export async function whenWarm(work, tell) {
  for (;;) {
    try {
      const result = await withToken(work);
      tell("");
      return result;
    } catch (failure) {
      if (!(failure instanceof Problem) || failure.kind !== "warming-up") throw failure;
      tell("The server is warming up. This goes on by itself.");
      await new Promise((done) => setTimeout(done, (failure.retryAfter ?? 2) * 1000));
    }
  }
}

/** @type {Promise<boolean>|null} several requests may be refused at once; they share one question */
let asking = null;

/** @param {boolean} wrong whether one was tried already */
export function askForToken(wrong) {
  const field = Object.assign(document.createElement("label"), { className: "field" });
  field.innerHTML = '<span>Token</span><input type="password" autocomplete="off" required>';
  const question = {
    title: wrong ? "That token was not accepted" : "Access token",
    words: "This server only answers those who know its token. Whoever runs it, or sent you the link, can tell you.",
    yes: "Continue",
  };
  asking ??= agreed(question, field).then((given) => {
    asking = null;
    if (given) keepToken(field.querySelector("input").value.trim());
    return given;
  });
  return asking;
}
