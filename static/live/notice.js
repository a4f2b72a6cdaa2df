// What stands above everything when there is nothing to see: no topic yet, no gateway, or a refusal.

import { showLines } from "./lines.js";

const DEMO = "earthquakes";
const QUAKE = '{"records":[{"key":"me","value":{"mag":6.1,"place":"Near the middle of the Pacific","longitude":-150,"latitude":8,"depth_km":12}}]}';

export class Notice {
  #topic;
  #origin;
  #kind = null;
  #box = document.getElementById("notice");

  constructor({ topic, origin }) {
    this.#topic = topic;
    this.#origin = origin;
  }

  /** `status` of the topic, names of `others`, what was `refused`, and whether the gateway is `away`. */
  show({ status, others, refusal, away }) {
    const kind = refusal ? "refused" : status === "absent" ? "absent" : away && status === "away" ? "away" : null;
    if (kind === this.#kind) return;
    this.#kind = kind;
    this.#box.hidden = kind === null;
    if (kind === null) return;
    this.#box.dataset.kind = kind === "absent" ? "" : "bad";
    document.getElementById("again").hidden = kind !== "refused";
    const [title, text, lines, topics] = ["title", "text", "lines", "topics"].map((part) => document.getElementById(`notice-${part}`));
    lines.replaceChildren();
    topics.replaceChildren();
    if (kind === "absent") this.#absent(title, text, lines, topics, others);
    if (kind === "away") {
      title.textContent = "The gateway does not answer";
      text.textContent = "What was drawn stays. The page tries again by itself, and goes on at its place.";
    }
    if (kind === "refused") {
      title.textContent = refusal.title ?? "The gateway refused";
      text.textContent = `${refusal.detail ?? ""}${refusal.code ? ` (${refusal.code})` : ""}`;
    }
  }

  #absent(title, text, lines, topics, others) {
    const url = `${this.#origin}/v1/topics/${encodeURIComponent(this.#topic)}`;
    title.textContent = `There is no topic “${this.#topic}” yet`;
    text.textContent = "The page begins by itself as soon as there is one.";
    const demo = this.#topic === DEMO ? [["A gateway of its own, with the recorded week", "tidegate demo"]] : [];
    showLines(lines, [
      ...demo,
      [demo.length ? "Or make the topic here" : "Make the topic", `curl -X PUT ${url} -H 'content-type: application/json' -d '{"partitions":4}'`],
      ["And publish an event of yours", `curl ${url}/records -H 'content-type: application/json' -d '${QUAKE}'`],
    ]);
    if (!others.length) return;
    topics.append("Topics that there are: ");
    others.forEach((name, i) => {
      const link = document.createElement("a");
      link.href = `/?topic=${encodeURIComponent(name)}`;
      link.textContent = name;
      topics.append(i ? ", " : "", link);
    });
  }
}
