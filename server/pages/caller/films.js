// The recordings that are kept, on the caller's page: to download, and to delete.

import * as api from "../shared/api.js";
import { agreed } from "../shared/asking.js";
import { inWords, part, say } from "../shared/notices.js";
import { downloadLink, duration, MEANT } from "../shared/recording.js";

const MEGABYTE = 1e6;
const DELETE = {
  title: "Delete this recording?",
  words: "It is deleted from this server. This cannot be undone.",
  yes: "Delete it",
  no: "Keep it",
};

/**
 * @typedef {{name: string, channel: string, since: number, seconds: number, bytes: number, ended: string|null, credentials: string,
 * unsigned: string}} Film
 */

/** Fills the list anew. @param {string} channel a shared server lists one channel's recordings only */
export async function showFilms(channel) {
  say(part("films-problem"), "");
  try {
    const kept = (await api.recordings(channel)).filter((film) => film.ended !== null);
    part("film-list").replaceChildren(...kept.reverse().map((film) => row(film, channel)));
    part("films").hidden = kept.length === 0;
    part("film-count").textContent = String(kept.length);
  } catch (failure) {
    if (failure.kind !== "warming-up" && failure.status !== 401) say(part("films-problem"), inWords(failure));
  }
}

/** @param {Film} film @param {string} channel */
function row(film, channel) {
  const item = document.createElement("li");
  const words = document.createElement("span");
  const when = new Date(film.since * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const size = film.bytes < MEGABYTE / 10 ? "<0.1" : (film.bytes / MEGABYTE).toFixed(1);
  words.append(Object.assign(document.createElement("strong"), { textContent: film.channel }), ` ${when}`);
  const why = !film.ended || MEANT.includes(film.ended) ? "" : `, ${film.ended}`;
  words.append(Object.assign(document.createElement("small"), { textContent: `${duration(film.seconds)} min, ${size} MB, ${film.credentials}${why}`, title: film.unsigned }));
  const link = downloadLink(film.name);
  link.ariaLabel = `Download ${film.name}`;
  item.append(words, link, deleteButton(film, channel));
  return item;
}

/** @param {Film} film @param {string} channel */
function deleteButton(film, channel) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "text-button", textContent: "Delete" });
  button.ariaLabel = `Delete ${film.name}`;
  button.addEventListener("click", async () => {
    if (!(await agreed(DELETE))) return;
    const failure = await api.deleteRecording(film.name).then(() => null, (problem) => problem);
    await showFilms(channel);
    part("films").querySelector("summary").focus(); // the button that had it is gone
    if (failure && failure.status !== 404) say(part("films-problem"), inWords(failure));
  });
  return button;
}
