// What is stated of a live channel, as its films and stills say it too: rows of what and how, in front of the page.

import * as api from "./api.js";
import { agreed } from "./asking.js";
import { inWords } from "./notices.js";

const WORDS = "The server states this of what you see, and signs it into every film and still.";

/** @param {[string, string][]} lines */
export function rows(lines) {
  const list = document.createElement("dl");
  list.className = "stated";
  for (const [what, how] of lines) list.append(text("dt", what), text("dd", how));
  return list;
}

/** @param {string} channel */
export async function showStated(channel) {
  const found = await api.provenance(channel).then(({ lines }) => rows(lines), (failure) => text("p", inWords(failure)));
  await agreed({ title: "What is stated of it", words: WORDS, yes: "Close" }, found);
}

/** @param {string} tag @param {string} textContent */
const text = (tag, textContent) => Object.assign(document.createElement(tag), { textContent });
