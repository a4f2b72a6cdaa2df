// The table of positions: for each partition where this reader stands, and how far the log goes on.

import { count } from "./words.js";

// Rows that are shown; a topic may have a thousand partitions.
const ROWS = 32;
const COLUMNS = ["th", "td", "td", "td", "td", "td"];

export class Positions {
  #body;
  #rows = new Map();

  constructor(body) {
    this.#body = body;
  }

  clear() {
    this.#rows.clear();
    this.#body.replaceChildren();
  }

  /** `rows`: objects of partition, epoch, next, behind, received and keys. */
  show(rows) {
    for (const row of rows.slice(0, ROWS)) {
      const cells = this.#cells(row.partition);
      const known = (n) => (n === null ? "–" : count(n));
      this.#put(cells[1], known(row.epoch));
      this.#put(cells[2], known(row.next));
      this.#put(cells[3], known(row.behind));
      this.#put(cells[4], count(row.received));
      this.#put(cells[5], row.keys.join(" "));
    }
  }

  #put(cell, text) {
    if (cell.textContent !== text) cell.textContent = text;
  }

  #cells(partition) {
    const known = this.#rows.get(partition);
    if (known) return known;
    const row = document.createElement("tr");
    const cells = COLUMNS.map((kind) => row.appendChild(document.createElement(kind)));
    cells[0].scope = "row";
    cells[0].textContent = String(partition);
    cells[5].className = "keys";
    const after = [...this.#rows.keys()].filter((other) => other < partition).length;
    this.#body.insertBefore(row, this.#body.children[after] ?? null);
    this.#rows.set(partition, cells);
    return cells;
  }
}
