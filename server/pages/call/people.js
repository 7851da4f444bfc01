// The list of people: who is here, who watches, who waits; and what the host can do about them.

import { part } from "../shared/notices.js";
import { howMany, inList } from "./words.js";

/** Fires "do" with {what: "admit"|"decline"|"mute"|"remove", seat} as detail. */
export class People extends EventTarget {
  constructor() {
    super();
    part("people-open").addEventListener("click", () => this.open(part("people").hidden));
    part("people-close").addEventListener("click", () => this.open(false));
    part("people").addEventListener("keydown", (event) => event.key === "Escape" && this.open(false));
    part("people").addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) this.dispatchEvent(new CustomEvent("do", { detail: { what: button.dataset.do, seat: Number(button.dataset.seat) } }));
    });
  }

  /** @param {boolean} open */
  open(open) {
    part("people").hidden = !open;
    part("people-open").setAttribute("aria-expanded", String(open));
    document.body.dataset.people = String(open);
    (open ? part("people-close") : part("people-open")).focus();
    this.dispatchEvent(new Event("toggle"));
  }

  /** @param {import("./room.js").Room} room */
  show(room) {
    const own = room.own ? [room.own] : [];
    const mine = own.filter((one) => one.role === "host" || one.role === "member");
    const here = [...mine, ...room.others];
    fill(part("people-list"), here.map((one) => line(one, room)));
    const watching = [...own.filter((one) => !mine.includes(one)), ...room.watchers.filter((one) => one.seat !== room.me)];
    fill(part("watch-list"), watching.map((one) => line(one, room)));
    part("watching-part").hidden = !watching.length;
    fill(part("knock-list"), room.waiting.map((one) => line(one, room)));
    part("knocking").hidden = !room.waiting.length;
    part("people-title").textContent = howMany(here.length, watching.length);
    part("people-count").textContent = String(here.length + watching.length);
    part("people-open").dataset.knock = String(room.waiting.length > 0 && room.hosting);
    part("lead").hidden = !room.hosting;
    part("lock").checked = room.locked;
  }

  /** How the others come to this page. @param {import("./drawing.js").Drawing} drawing @param {import("./room.js").Seat[]} others */
  tellWay(drawing, others) {
    part("way").hidden = !drawing.decided || !others.some(({ geometry }) => geometry);
    part("way-words").textContent = drawing.words;
    part("way-switch").hidden = !drawing.offer;
    part("way-switch").textContent = drawing.offer;
  }
}

/** Changes nothing where nothing changed: who reads the list with a keyboard keeps the place. */
function fill(list, lines) {
  const [before, now] = [[...list.children].map((one) => one.outerHTML).join(), lines.map((one) => one.outerHTML).join()];
  if (before === now) return;
  const focused = document.activeElement?.closest("[data-do]")?.dataset;
  list.replaceChildren(...lines);
  if (focused && list.querySelector) list.querySelector(`[data-do="${focused.do}"][data-seat="${focused.seat}"]`)?.focus();
}

/** @param {import("./room.js").Seat} seat @param {import("./room.js").Room} room */
function line(seat, room) {
  const found = Object.assign(document.createElement("li"), { className: "person" });
  const words = document.createElement("p");
  const name = Object.assign(document.createElement("strong"), { textContent: seat.seat === room.me ? `${seat.name} (you)` : seat.name });
  words.append(name, Object.assign(document.createElement("span"), { textContent: inList(seat) }));
  found.append(words, ...(room.hosting && seat.seat !== room.me ? buttons(seat) : []));
  return found;
}

/** @param {import("./room.js").Seat} seat */
function buttons(seat) {
  if (seat.state === "waiting") return [button("admit", "Let in", seat, "primary"), button("decline", "Decline", seat)];
  const speaks = seat.role === "host" || seat.role === "member";
  return [...(speaks && !seat.muted ? [button("mute", "Mute", seat)] : []), button("remove", "Remove", seat)];
}

/** @param {string} what @param {string} words @param {import("./room.js").Seat} seat @param {string} [more] */
function button(what, words, seat, more = "") {
  const made = Object.assign(document.createElement("button"), { type: "button", className: `button little ${more}`, textContent: words });
  made.setAttribute("aria-label", `${words} ${seat.name}`);
  Object.assign(made.dataset, { do: what, seat: String(seat.seat) });
  return made;
}
