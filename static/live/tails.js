// How far the log goes, asked of the gateway once a second: so that the page can say how far behind it
// is, also while its own connection is cut, and notices when its topic comes to be.

const EVERY = 1_000;
// While nobody looks.
const SELDOM = 10_000;

/** The gateway's own word of why it does not answer such a question. */
class Refused extends Error {
  constructor(problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

async function asked(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  // What may go by itself is no refusal.
  if (problem.code && !problem.retryable) throw new Refused(problem);
  throw new Error(`status ${answer.status}`);
}

/** `absent` (no such topic), `there`, `away` (no answer) or `refused`, and the end of each partition. */
export class Tails {
  status = "unknown";
  /** Why it is refused. */
  problem = null;
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
    } catch (error) {
      this.problem = error instanceof Refused ? error.problem : null;
      this.status = this.problem ? "refused" : "away";
      if (this.problem?.code === "topic_unknown") this.status = "absent";
    }
    this.#changed(before);
    return this.status === "there" ? this.#ends() : null;
  }

  #ends() {
    return new Map([...this.partitions].map(([number, { tail }]) => [number, tail]));
  }

  async #list() {
    const { topics } = await asked(`/v1/topics?prefix=${encodeURIComponent(this.#topic)}`);
    if (topics.some(({ name }) => name === this.#topic)) {
      this.status = "there";
      return;
    }
    this.status = "absent";
    this.partitions = new Map();
    this.others = (await asked("/v1/topics?limit=12")).topics.map(({ name }) => name);
  }

  async #describe() {
    const { partition_list: list } = await asked(`/v1/topics/${encodeURIComponent(this.#topic)}`);
    this.partitions = new Map(list.map((partition) => [partition.partition, partition]));
  }
}
