// The newest events as a list that stays short, whatever comes.

import { depthClass } from "./event.js";
import { count, depth, magnitude, moment } from "./words.js";

const KEPT = 80;
const STRONG = 4.5;

export class List {
  #list;
  #row;
  #empty;
  #scroll;

  constructor(list, row, empty) {
    this.#list = list;
    this.#row = row;
    this.#empty = empty;
    this.#scroll = list.parentElement;
  }

  /** Puts events on top, the last of them first. */
  add(events) {
    if (!events.length) return;
    const rows = document.createDocumentFragment();
    for (const event of events.slice(-KEPT).reverse()) rows.append(this.#rowOf(event));
    // Whoever has scrolled down to read stays there.
    const { scrollTop, scrollHeight } = this.#scroll;
    this.#list.prepend(rows);
    while (this.#list.childElementCount > KEPT) this.#list.lastElementChild.remove();
    if (scrollTop > 0) this.#scroll.scrollTop = scrollTop + Math.max(0, this.#scroll.scrollHeight - scrollHeight);
    this.#empty.hidden = true;
  }

  clear() {
    this.#list.replaceChildren();
    this.#empty.hidden = false;
  }

  #rowOf(event) {
    const row = this.#row.content.firstElementChild.cloneNode(true);
    const put = (where, text) => (row.querySelector(where).textContent = text);
    row.classList.add(event.depth === null ? "plain" : `t${depthClass(event.depth)}`);
    row.classList.toggle("strong", (event.magnitude ?? 0) >= STRONG);
    put(".mag b", magnitude(event.magnitude));
    put(".where", event.place);
    row.querySelector(".where").title = event.place;
    const kind = event.kind && event.kind !== "earthquake" ? event.kind : "";
    put(".when", [moment(event.time), depth(event.depth), kind].filter(Boolean).join(" · "));
    put(".key", event.key ?? "no key");
    put(".offset", `p${event.partition} · ${count(event.offset)}`);
    return row;
  }
}
