// Members of groups: `client.group("billing", …).run(work)`. What was worked on is committed, so that each record is worked on
// at least once; partitions come and go with the group. The interface is described in group.d.ts.

import { internals, TidegateError } from "./tidegate.js";

const { Client, Emitter, Record } = internals;
const AGAIN_MS = 1_000; // before what failed is tried again
const ENDING_MS = 10_000; // what the last record and its commit may take

const key = ({ topic, partition }) => `${partition} ${topic}`;
const stands = ({ epoch, next }) => `${epoch} ${next}`;

/** [{ topic, partition }] of { topic: [partition] }. */
const listed = (parts) => Object.entries(parts).flatMap(([topic, all]) => all.map((partition) => ({ topic, partition })));

class Group extends Emitter {
  #client;
  #link; // while it is a subscription of the client
  #sub;
  #ask; // the frame that joins
  #options;
  #work;
  #settle; // resolves or rejects run()
  #generation;
  #joins = 0;
  #held = new Set(); // keys of what is worked on
  #letting = new Map(); // key -> what is to be released once it is committed
  #places = new Map(); // key -> { topic, partition, epoch, next } after the last record, and what of it was committed
  #inbox = [];
  #owed = 0; // records taken for which no credit was given back yet
  #busy; // the key of the record in hand
  #pumping = false;
  #alone = []; // places to be committed by themselves
  #committing; // the number of the join under which a commit is on its way
  #fresh = 0; // records worked on since the last commit was sent
  #timer;
  #ending;
  #stopped; // { error }: no further record is taken
  #left = false;

  constructor(client, name, { topic, topics = topic, from, memberId, sessionTimeout, encoding, ...options } = {}) {
    super();
    this.#client = client;
    this.#options = { credit: 500, commitEvery: 100, commitInterval: 1_000, ...options };
    this.name = name;
    this.memberId = memberId;
    const packed = globalThis.DecompressionStream ? encoding : undefined;
    this.#ask = { op: "join", group: name, topics: [].concat(topics), from, session_timeout_ms: sessionTimeout, encoding: packed };
  }

  /** Works on records, one after the other, until `close()` or until it cannot go on. */
  run(work) {
    return new Promise((resolve, reject) => {
      if (this.#settle || this.#left) throw new Error("a group runs once");
      this.#settle = (error) => (error ? reject(error) : resolve());
      this.#work = work;
      this.#join();
    });
  }

  /** Finishes what is in hand, commits it, and leaves. */
  close() {
    return new Promise((left) => {
      if (this.#left) return left();
      this.on("left", () => left());
      this.#stop();
    });
  }

  #join() {
    try {
      this.#client._add((link, sub) => {
        this.#link = link;
        this.#sub = sub;
        return this;
      });
    } catch (error) {
      this.#stopped ??= { error }; // the client was closed
      this.#leave();
    }
  }

  // What a client asks of its subscriptions

  _live = false;

  get sub() {
    return this.#sub;
  }

  /** The frame that joins, and joins again on a new connection: the gateway then begins at the commits. */
  _subscribe() {
    this._live = false;
    this.#joins++;
    this.#inbox = [];
    this.#owed = 0;
    if (this.#client.hello.transport) {
      this._emit("error", { error: new TidegateError({ code: "not_supported", detail: "groups need a WebSocket", retryable: true }) });
    }
    return { ...this.#ask, member_id: this.memberId, credit: this.#options.credit };
  }

  _subscribed({ member_id, generation }) {
    this._live = true;
    this.memberId = member_id;
    // Others may have worked on what this one held: what it knows of it is void.
    if (generation !== this.#generation) this.#lose();
    this.#generation = generation;
    this._emit("joined", { memberId: member_id, generation });
    this.#pump();
  }

  _frame(frame) {
    if (!this._live || this.#left) return;
    const { op, partitions, generation, grace_ms } = frame;
    if (op === "records" || op === "lost") this.#inbox.push(frame);
    else if (partitions) {
      this.#generation = generation;
      this.#shared(op, listed(partitions));
      this._emit(op, { partitions, generation, graceMs: grace_ms });
      this.#commit();
    } else if (op !== "position") this._emit(op, frame);
    this.#pump();
  }

  _fail(error, op) {
    this._live = false;
    this.#link = undefined;
    if (op === "unsubscribed" && !this.#stopped && (error.retryable || /^member_(expired|unknown)$/.test(error.code))) {
      // The machine slept, or the gateway or its store was away for longer than a session.
      this.#lose();
      this._emit("expired", { error });
      this.#timer = setTimeout(() => this.#join(), AGAIN_MS);
    } else {
      this.#stopped ??= { error };
      this.#leave();
    }
  }

  // Partitions

  #shared(op, parts) {
    if (op === "revoked") return this.#lose(parts.map(key));
    for (const part of parts) {
      const at = key(part);
      if (op === "assigned") {
        this.#held.add(at);
        this.#letting.delete(at);
      } else {
        this.#held.delete(at);
        this.#letting.set(at, part);
      }
    }
    this.#drop();
  }

  #lose(keys = [...this.#held, ...this.#letting.keys()]) {
    for (const at of keys) for (const known of [this.#held, this.#letting, this.#places]) known.delete(at);
    this.#drop();
  }

  /** Records of what is not held any more are not worked on. */
  #drop() {
    this.#inbox = this.#inbox.filter((frame) => {
      const stays = this.#held.has(key(frame));
      if (!stays && frame.records) this.#give(frame.records.length - (frame.i ?? 0));
      return stays;
    });
  }

  /** Lets go of what is committed. */
  #release() {
    const partitions = {};
    for (const [at, { topic, partition }] of this.#letting) {
      if (at !== this.#busy) (partitions[topic] ??= []).push(partition);
    }
    const some = Object.keys(partitions).length > 0;
    if (some && this.#link.send({ op: "release", sub: this.#sub, partitions })) {
      for (const part of listed(partitions)) this.#letting.delete(key(part));
    }
  }

  // Records

  #give(records) {
    this.#owed += records;
    if (this.#owed < this.#options.credit / 2) return;
    if (this.#link?.send({ op: "credit", sub: this.#sub, records: this.#owed })) this.#owed = 0;
  }

  /** The next record that was not worked on; on the way tells of what is lost. */
  #take() {
    for (let frame; (frame = this.#inbox[0]); ) {
      const { records, epoch, next } = frame;
      if (!records) {
        this.#inbox.shift();
        this._emit("lost", frame);
        continue;
      }
      const i = (frame.i ??= 0);
      frame.i++;
      const last = frame.i === records.length;
      if (last) this.#inbox.shift();
      this.#give(1);
      const done = this.#places.get(key(frame));
      const record = new Record(frame, records[i]);
      // After a reconnect those come again that were not committed yet.
      if (done?.epoch === epoch && record.offset < done.next) continue;
      return { record, epoch, next: last ? next : record.offset + 1 };
    }
  }

  async #pump() {
    if (this.#pumping) return;
    this.#pumping = true;
    for (let taken; this._live && !this.#stopped && (taken = this.#take()); ) {
      const { record, epoch, next } = taken;
      const { topic, partition } = record;
      const at = (this.#busy = key(record));
      let failed;
      try {
        await this.#work(record, this);
      } catch (error) {
        failed = { error };
      }
      this.#busy = undefined;
      if (failed) this.#stop(failed.error);
      // What has become another's meanwhile, that one works on again.
      else if (this.#held.has(at) || this.#letting.has(at)) {
        this.#places.set(at, { topic, partition, epoch, next, kept: this.#places.get(at)?.kept });
        this.#fresh++;
      }
      this.#commit();
    }
    this.#pumping = false;
    this.#commit();
  }

  // Commits

  #commit() {
    if (!this._live || this.#left || this.#committing === this.#joins) return;
    const alone = this.#alone.shift();
    if (alone) return this.#send([alone]);
    const places = [...this.#places.values()].filter((place) => place.kept !== stands(place));
    if (!places.length) {
      this.#fresh = 0;
      this.#release();
      if (this.#stopped && !this.#busy) this.#leave();
    } else if (this.#fresh >= this.#options.commitEvery || this.#letting.size || this.#stopped) this.#send(places);
    else this.#timer ??= setTimeout(() => this.#late(), this.#options.commitInterval);
  }

  #late() {
    this.#timer = undefined;
    this.#fresh = Infinity;
    this.#commit();
  }

  #send(places) {
    this.#fresh = 0;
    const joins = (this.#committing = this.#joins);
    const commits = places.map(({ topic, partition, epoch, next }) => ({ topic, partition, epoch, offset: next }));
    this.#link.ask({ op: "commit", sub: this.#sub, generation: this.#generation, commits }, (error) => {
      if (joins !== this.#joins) return;
      this.#committing = undefined;
      if (error?.retryable) return void (this.#timer ??= setTimeout(() => this.#late(), AGAIN_MS));
      // Nothing of it was stored: each is tried by itself, until what is another's by now is found.
      if (error && places.length > 1) this.#alone = places;
      else if (error) {
        this.#places.delete(key(places[0]));
        this._emit("error", { error, problem: error.problem });
      } else {
        for (const sent of places) Object.assign(this.#places.get(key(sent)) ?? {}, { kept: stands(sent) });
        this._emit("committed", { commits });
      }
      this.#commit();
    });
  }

  // The end

  #stop(error) {
    if (this.#stopped) return;
    this.#stopped = { error };
    this.#inbox = [];
    if (this.#client.state === "closed" || (!this._live && !this.#busy)) return this.#leave();
    this.#ending = setTimeout(() => this.#leave(), ENDING_MS);
    this.#commit();
  }

  #leave() {
    if (this.#left) return;
    this.#left = true;
    this._live = false;
    clearTimeout(this.#timer);
    clearTimeout(this.#ending);
    this.#link?.forget(this.#sub); // by which the gateway hands on what it held
    const { error } = this.#stopped;
    this.#settle?.(error);
    this._emit("left", { error });
  }
}

Client.prototype.group = function (name, options) {
  return new Group(this, name, options);
};

export { connect, TidegateError } from "./tidegate.js";
