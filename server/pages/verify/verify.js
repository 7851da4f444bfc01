// Where a file comes from: it is sent to this server, and what is found stands below, the newest first.

import * as api from "../shared/api.js";
import { inWords, part, say, withToken } from "../shared/notices.js";
import { rows } from "../shared/stated.js";

/** @typedef {{finding: string, words: string, signer: string, lines: [string, string][], codes: string[]}} Verdict */

const CALLED = {
  valid: "✓ Unchanged, and from here",
  unvouched: "Unchanged, by an unknown signer",
  changed: "✗ Changed since it was signed",
  unsigned: "No content credentials",
  unreadable: "Cannot be looked into",
};

/** One after another: the server looks into one at a time. */
let queue = Promise.resolve();

/** @param {Iterable<File>} files */
function take(files) {
  for (const file of files) {
    const card = waiting(file.name);
    part("found").prepend(card);
    queue = queue.then(() => look(file, card));
  }
}

/** @param {File} file @param {HTMLElement} card */
async function look(file, card) {
  say(part("problem"), "");
  try {
    card.replaceWith(shown(file.name, await withToken(() => api.verify(file))));
  } catch (failure) {
    card.remove();
    say(part("problem"), `${file.name}: ${inWords(failure)}`);
  }
}

/** @param {string} name */
function waiting(name) {
  const card = titled("Looking into it …", name);
  card.append(document.createElement("progress"));
  return card;
}

/** @param {string} name @param {Verdict} verdict */
function shown(name, { finding, words, signer, lines }) {
  const card = titled(CALLED[finding] ?? finding, name);
  card.dataset.finding = finding;
  card.append(Object.assign(document.createElement("p"), { textContent: words }));
  const stated = [...lines, ...(signer ? [["Signed by", signer]] : [])];
  if (stated.length) card.append(rows(stated));
  return card;
}

/** @param {string} words @param {string} name */
function titled(words, name) {
  const card = Object.assign(document.createElement("article"), { className: "verdict" });
  const title = document.createElement("h2");
  title.append(text("span", words), text("small", name));
  card.append(title);
  return card;
}

/** @param {string} tag @param {string} textContent */
const text = (tag, textContent) => Object.assign(document.createElement(tag), { textContent });

part("file").addEventListener("change", ({ target }) => {
  take(target.files);
  target.value = ""; // the same one again is another look
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    part("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") take(event.dataTransfer.files);
  });
}
api.takeTokenFromAddress();
