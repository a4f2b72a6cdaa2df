// How far the log goes, asked of the gateway once a second: so that the page can say how far behind it
// is, also while its own connection is cut, and notices when its topic comes to be.

const EVERY = 1_000;
// While nobody looks.
const SELDOM = 10_000;

/** `absent` (no such topic), `there` or `away` (no answer), and the end of each partition. */
export class Tails {
  status = "unknown";
  partitions = new Map();
  others = [];
  #topic;
  #changed;

  constructor(topic, changed) {
    this.#topic = topic;
    this.#changed = changed;
  }

  /** Asks again and again. */
  async watch() {
    for (;;) {
      await this.ask();
      await new Promise((resolve) => setTimeout(resolve, document.hidden ? SELDOM : EVERY));
    }
  }

  /** Asks once; where the log ends now, or null without an answer. */
  async ask() {
    const before = this.status;
    try {
      // A topic that is not there is looked for in the list, for that is no error.
      if (this.status !== "there") await this.#list();
      if (this.status === "there") await this.#describe();
    } catch {
      this.status = "away";
    }
    this.#changed(before);
    return this.status === "there" ? this.#ends() : null;
  }

  #ends() {
    return new Map([...this.partitions].map(([number, { tail }]) => [number, tail]));
  }

  async #list() {
    const answer = await fetch(`/v1/topics?prefix=${encodeURIComponent(this.#topic)}`, { cache: "no-store" });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const { topics } = await answer.json();
    if (topics.some(({ name }) => name === this.#topic)) {
      this.status = "there";
      return;
    }
    this.status = "absent";
    this.partitions = new Map();
    const all = await (await fetch("/v1/topics?limit=12", { cache: "no-store" })).json();
    this.others = all.topics.map(({ name }) => name);
  }

  async #describe() {
    const answer = await fetch(`/v1/topics/${encodeURIComponent(this.#topic)}`, { cache: "no-store" });
    if (answer.status === 404) {
      this.status = "absent";
      return;
    }
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const { partition_list: list } = await answer.json();
    this.partitions = new Map(list.map((partition) => [partition.partition, partition]));
  }
}
