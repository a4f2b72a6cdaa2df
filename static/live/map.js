// The map: land drawn once, settled events kept on a layer of their own, and only what is fresh drawn
// anew in each frame. Colours come from the style sheet, so that light and dark need nothing here.

import { depthClass } from "./event.js";
import { place } from "./projection.js";
import { depth, magnitude, moment } from "./words.js";
import { america, world } from "./world.js";

// Where a view is cut when the sheet is narrower than it: this point stays in the middle.
const VIEWS = { world: { ...world, middle: 1010 }, america: { ...america, middle: 640 } };
// Milliseconds in which an event settles, and that the number of a strong one is shown.
const FRESH = 2_400;
const NAMED = 6_000;
const STRONG = 4.5;
// Settled events that stay, and how many go at once when there are more.
const KEPT = 3_000;
const GONE = 600;
// Fresh ones at once: with more, no ring could be made out, so the oldest settle early.
const CROWD = 140;

/** The radius of a dot in CSS pixels on a sheet of ordinary width. */
const radius = (mag) => 1.6 + 0.92 * Math.max(0, mag ?? 1) ** 1.45;

export class EarthMap {
  #canvas;
  #context;
  #tip;
  #land = document.createElement("canvas");
  #settled = document.createElement("canvas");
  #fresh = [];
  #old = [];
  #view = "world";
  #colours = { depths: [] };
  #size = { width: 0, height: 0, ratio: 1, by: 1, x: 0, y: 0, dot: 1 };
  #still;
  #wanted;
  #dirty = true;

  /** `wanted` is called when a frame is to be drawn. */
  constructor(canvas, tip, still, wanted) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.#tip = tip;
    this.#still = still;
    this.#wanted = wanted;
    new ResizeObserver(() => this.restyle()).observe(canvas);
    canvas.addEventListener("pointermove", (event) => this.#point(event));
    canvas.addEventListener("pointerleave", () => (this.#tip.hidden = true));
  }

  /** Takes the colours and the size anew. */
  restyle() {
    const box = this.#canvas.getBoundingClientRect();
    if (!box.width) return;
    const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
    const view = VIEWS[this.#view];
    const by = Math.max(box.width / view.width, box.height / view.height);
    const spare = box.width - view.width * by;
    const x = Math.min(0, Math.max(spare, box.width / 2 - view.middle * by));
    const dot = Math.min(1, Math.max(0.72, box.width / 900));
    this.#size = { width: box.width, height: box.height, ratio, by, x, y: (box.height - view.height * by) / 2, dot };
    for (const canvas of [this.#canvas, this.#land, this.#settled]) {
      canvas.width = Math.round(box.width * ratio);
      canvas.height = Math.round(box.height * ratio);
    }
    this.#readColours();
    this.#drawLand();
    for (const dot of [...this.#old, ...this.#fresh]) this.#put(dot);
    this.#drawSettled();
    this.#ask();
  }

  show(view) {
    this.#view = view;
    this.#tip.hidden = true;
    this.restyle();
  }

  clear() {
    this.#fresh = [];
    this.#old = [];
    this.#drawSettled();
    this.#ask();
  }

  /** Events to draw; those that are not `fresh` settle at once. */
  add(events, now, fresh = true) {
    for (const event of events) {
      if (!event.where) continue;
      const dot = { event, born: now, at: null };
      this.#put(dot);
      if (fresh) {
        this.#fresh.push(dot);
      } else {
        this.#old.push(dot);
        this.#settle(dot, 0.55);
      }
    }
    this.#bound();
    this.#ask();
  }

  /** Draws; whether there is more to draw in the next frame. */
  frame(now) {
    if (!this.#dirty && !this.#fresh.length) return false;
    this.#dirty = false;
    const staying = [];
    const early = this.#fresh.length - CROWD;
    for (const [i, dot] of this.#fresh.entries()) {
      const life = (dot.event.magnitude ?? 0) >= STRONG ? NAMED : FRESH;
      if (now - dot.born < life && (i >= early || life === NAMED)) {
        staying.push(dot);
      } else {
        this.#old.push(dot);
        this.#settle(dot, 0.55);
      }
    }
    this.#fresh = staying;
    const { ratio } = this.#size;
    const to = this.#context;
    to.setTransform(1, 0, 0, 1, 0, 0);
    to.drawImage(this.#land, 0, 0);
    to.drawImage(this.#settled, 0, 0);
    to.setTransform(ratio, 0, 0, ratio, 0, 0);
    for (const dot of this.#fresh) if (dot.at) this.#drawFresh(to, dot, now - dot.born);
    to.globalAlpha = 1;
    return this.#fresh.length > 0;
  }

  #ask() {
    this.#dirty = true;
    this.#wanted();
  }

  #bound() {
    if (this.#old.length <= KEPT) return;
    this.#old.splice(0, this.#old.length - KEPT + GONE);
    this.#drawSettled();
  }

  #put(dot) {
    const { by, x, y } = this.#size;
    const point = place(VIEWS[this.#view], ...dot.event.where);
    dot.at = point && [x + point[0] * by, y + point[1] * by];
    dot.radius = radius(dot.event.magnitude) * this.#size.dot;
  }

  #readColours() {
    const probe = document.createElement("i");
    this.#canvas.after(probe);
    const colour = (name) => {
      probe.style.color = `var(--${name})`;
      return getComputedStyle(probe).color;
    };
    const depths = [0, 1, 2, 3, 4].map((n) => colour(`d${n}`));
    this.#colours = { depths, sea: colour("sea"), land: colour("land"), grid: colour("grid"), card: colour("card"), ink: colour("ink") };
    probe.remove();
  }

  #drawLand() {
    const { ratio, by, x, y } = this.#size;
    const view = VIEWS[this.#view];
    const to = this.#land.getContext("2d");
    const scale = ratio * by;
    to.fillStyle = this.#colours.card;
    to.fillRect(0, 0, this.#land.width, this.#land.height);
    to.setTransform(scale, 0, 0, scale, x * ratio, y * ratio);
    to.fillStyle = this.#colours.sea;
    to.fill(new Path2D(view.edge));
    to.strokeStyle = this.#colours.grid;
    to.lineWidth = 1 / by;
    to.stroke(new Path2D(view.grid));
    to.fillStyle = this.#colours.land;
    to.fill(new Path2D(view.land), "evenodd");
    to.setTransform(1, 0, 0, 1, 0, 0);
  }

  #drawSettled() {
    const to = this.#settled.getContext("2d");
    to.setTransform(1, 0, 0, 1, 0, 0);
    to.clearRect(0, 0, this.#settled.width, this.#settled.height);
    const count = this.#old.length;
    // The older, the fainter, while there are many.
    this.#old.forEach((dot, i) => this.#settle(dot, 0.55 - 0.35 * Math.max(0, (count - i - KEPT / 2) / (KEPT / 2))));
  }

  #settle(dot, alpha) {
    if (!dot.at) return;
    const { ratio } = this.#size;
    const to = this.#settled.getContext("2d");
    to.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.#drawDot(to, dot, alpha);
  }

  #drawDot(to, dot, alpha) {
    to.globalAlpha = alpha;
    to.fillStyle = this.#colours.depths[depthClass(dot.event.depth)];
    to.beginPath();
    to.arc(dot.at[0], dot.at[1], dot.radius, 0, 2 * Math.PI);
    to.fill();
  }

  #drawFresh(to, dot, age) {
    const passed = Math.min(1, age / FRESH);
    this.#drawDot(to, dot, 0.95 - 0.4 * passed);
    const [x, y] = dot.at;
    if (passed < 1 && !this.#still) {
      to.globalAlpha = 0.85 * (1 - passed) ** 1.5;
      to.strokeStyle = this.#colours.depths[depthClass(dot.event.depth)];
      to.lineWidth = 1.5;
      to.beginPath();
      to.arc(x, y, dot.radius + (6 + dot.radius * 1.6) * (1 - (1 - passed) ** 3), 0, 2 * Math.PI);
      to.stroke();
    }
    if ((dot.event.magnitude ?? 0) < STRONG) return;
    to.globalAlpha = Math.min(1, (NAMED - age) / 800);
    to.font = "650 12px system-ui, sans-serif";
    to.lineWidth = 3;
    to.strokeStyle = this.#colours.card;
    to.fillStyle = this.#colours.ink;
    const name = magnitude(dot.event.magnitude);
    const beside = x + dot.radius + 30 > this.#size.width ? x - dot.radius - 24 : x + dot.radius + 4;
    to.strokeText(name, beside, y + 4);
    to.fillText(name, beside, y + 4);
  }

  /** Says what lies under the pointer. */
  #point({ offsetX, offsetY }) {
    let [best, least] = [null, Infinity];
    for (const dot of [...this.#old, ...this.#fresh]) {
      if (!dot.at) continue;
      const away = Math.hypot(dot.at[0] - offsetX, dot.at[1] - offsetY) - dot.radius;
      if (away < 7 && away <= least) [best, least] = [dot, away];
    }
    this.#tip.hidden = !best;
    if (!best) return;
    const { event, at } = best;
    const [title, text] = this.#tip.children;
    title.textContent = `${magnitude(event.magnitude)}  ${event.place}`;
    text.textContent = [`${moment(event.time)} UTC`, depth(event.depth), `p${event.partition} offset ${event.offset}`].filter(Boolean).join(" · ");
    const { width } = this.#size;
    const left = Math.max(4, Math.min(at[0] + 12, width - this.#tip.offsetWidth - 4));
    const above = at[1] - this.#tip.offsetHeight - 12;
    this.#tip.style.transform = `translate(${left}px, ${above > 4 ? above : at[1] + 14}px)`;
  }
}
