// What happened to the connection, told: where it was cut, what came meanwhile, where it went on, and
// whether anything was missed.

import { clock, count, places, plural } from "./words.js";

const KEPT = 6;

/** What the account says of everything since `before`. */
function proof(ledger, before) {
  const now = ledger.total();
  const since = (what) => now[what] - before[what];
  const said = [since("missed") ? `${count(since("missed"))} missed` : "nothing missed"];
  said.push(since("repeated") ? `${count(since("repeated"))} came twice` : "nothing twice");
  if (since("lost")) said.push(`${count(since("lost"))} gone by the gateway's own word`);
  return { said: said.join(", "), whole: !since("missed") && !since("repeated") };
}

export class Story {
  #box;
  #title;
  #text;
  #log;
  #say;
  #away = null;

  /** `say` speaks to those who hear the page. */
  constructor({ box, title, text, log, say }) {
    [this.#box, this.#title, this.#text, this.#log, this.#say] = [box, title, text, log, say];
  }

  /** The connection is gone at `now`: by the reader's hand, or by itself. */
  left({ now, at, ledger, byHand }) {
    if (this.#away) return;
    this.#away = { since: now, at, before: ledger.total(), byHand };
    const title = byHand ? "Cut." : "The connection was lost.";
    this.#show("bad", title, `This page stands at ${places(at) || "the beginning"}.`);
    this.note(now, byHand ? "cut by hand" : "connection lost");
    this.#say(title);
  }

  /** While away: `published` records have come to the log, and it tries again in `wait` milliseconds. */
  waits({ published, wait }) {
    if (!this.#away || this.#away.target) return;
    const { at, byHand } = this.#away;
    const when = wait > 0 ? ` Back in ${Math.ceil(wait / 1000)} s.` : "";
    const meanwhile = published === null ? "" : ` ${plural(published, "record has", "records have")} been published since.`;
    this.#show("bad", byHand ? `Cut.${when}` : "The connection was lost. Trying again.", `This page stands at ${places(at) || "the beginning"}.${meanwhile}`);
  }

  /** Connected again; `target` is where the log ended then. */
  returned({ now, target }) {
    if (!this.#away || this.#away.target) return;
    const { at, since } = this.#away;
    const published = [...target].reduce((sum, [number, tail]) => sum + Math.max(0, tail - (at.get(number) ?? tail)), 0);
    Object.assign(this.#away, { target, published, returned: now });
    this.note(now, `back after ${((now - since) / 1000).toFixed(1)} s`);
    this.#show("warn", "Resumed.", `From ${places(at)}: ${plural(published, "record", "records")} to catch up with.`);
  }

  /** Looks whether what was published meanwhile is all there. */
  check({ now, places: reached, ledger }) {
    const away = this.#away;
    if (!away?.target) return;
    for (const [number, tail] of away.target) if ((reached.get(number) ?? 0) < tail) return;
    const { said, whole } = proof(ledger, away.before);
    const gone = ((away.returned - away.since) / 1000).toFixed(1);
    const title = whole ? `Resumed after ${gone} s: ${said}.` : `Resumed after ${gone} s, with a hole: ${said}.`;
    const meanwhile = away.published ? `${plural(away.published, "record", "records")} had been published meanwhile, and ${away.published === 1 ? "it is" : "all are"} here.` : "Nothing had been published meanwhile.";
    this.#show(whole ? "good" : "bad", title, `Went on from ${places(away.at)}. ${meanwhile}`);
    this.note(now, `${plural(away.published, "record", "records")} caught up, ${said}`);
    this.#say(title);
    this.#away = null;
  }

  /** Begins anew. */
  forget(now, why) {
    this.#away = null;
    this.#show("idle", why, "While this page is away the gateway keeps taking records. Back again, it asks for what follows its place.");
    this.note(now, why.replace(/\.$/, "").toLowerCase());
  }

  /** A line of the log. */
  note(now, text) {
    const line = document.createElement("li");
    const [time, what] = [document.createElement("time"), document.createElement("span")];
    time.textContent = clock(now);
    time.dateTime = new Date(now).toISOString();
    what.textContent = text;
    line.append(time, what);
    this.#log.prepend(line);
    while (this.#log.childElementCount > KEPT) this.#log.lastElementChild.remove();
  }

  #show(kind, title, text) {
    this.#box.dataset.kind = kind;
    if (this.#title.textContent !== title) this.#title.textContent = title;
    if (this.#text.textContent !== text) this.#text.textContent = text;
  }
}
