// Telling people what went wrong, where it went wrong; and asking for the token when the server wants one.

import { hasToken, keepToken, Problem } from "./api.js";

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
  asking ??= new Promise((done) => {
    const dialog = part("token-dialog");
    const field = part("token");
    field.value = "";
    dialog.querySelector("h2").textContent = wrong ? "That token was not accepted" : "Access token";
    dialog.returnValue = "";
    dialog.addEventListener(
      "close",
      () => {
        asking = null;
        if (dialog.returnValue === "use") keepToken(field.value.trim());
        done(dialog.returnValue === "use");
      },
      { once: true },
    );
    dialog.showModal();
  });
  return asking;
}
