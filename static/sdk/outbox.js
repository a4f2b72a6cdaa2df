// Publishes that wait while the network is away, across reloads. In IndexedDB and not in localStorage: it takes more than
// 5 MB, and bytes, in workers too, and says when a write is on disk. Where there is none, in memory.

import { TidegateError } from "./tidegate.js";

const problem = (code, detail, more) => new TidegateError({ code, detail, ...more });

// `randomUUID` is there on pages of https and localhost alone.
const randomKey = () => crypto.getRandomValues(new Uint32Array(4)).join("-");

const done = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

class Database {
  kept = true;
  #db;

  static async open(name) {
    const request = indexedDB.open(`tidegate-outbox-${name}`, 1);
    request.onupgradeneeded = () => request.result.createObjectStore("entries", { autoIncrement: true });
    const store = new Database();
    store.#db = await done(request);
    return store;
  }

  async #do(mode, work) {
    const change = this.#db.transaction("entries", mode, { durability: "strict" });
    const result = await done(work(change.objectStore("entries")));
    if (mode === "readwrite") await new Promise((resolve, reject) => ([change.oncomplete, change.onabort] = [resolve, () => reject(change.error)]));
    return result;
  }

  add = (entry) => this.#do("readwrite", (entries) => entries.add(entry));
  put = (number, entry) => this.#do("readwrite", (entries) => entries.put(entry, number));
  remove = (number) => this.#do("readwrite", (entries) => entries.delete(number));
  has = (number) => this.#do("readonly", (entries) => entries.count(number));
  count = () => this.#do("readonly", (entries) => entries.count());
  async first() {
    const number = await this.#do("readonly", (entries) => entries.getAllKeys(null, 1));
    return number.length ? [number[0], await this.#do("readonly", (entries) => entries.get(number[0]))] : undefined;
  }
  close() {
    this.#db.close();
  }
}

export class Memory {
  kept = false;
  #entries = new Map();
  #last = 0;

  async add(entry) {
    this.#entries.set(++this.#last, entry);
    return this.#last;
  }
  async put(number, entry) {
    this.#entries.set(number, entry);
  }
  async remove(number) {
    this.#entries.delete(number);
  }
  async has(number) {
    return this.#entries.has(number);
  }
  async count() {
    return this.#entries.size;
  }
  async first() {
    return this.#entries.entries().next().value;
  }
  close() {}
}

class Outbox {
  #client;
  #store;
  #limit;
  #ttl;
  #stop = new AbortController();
  #callers = new Map(); // number -> those of this page that wait for the answer
  #failed = new Set();
  #sending = false;
  #again = false;
  #adding = Promise.resolve();
  #undo;

  constructor(client, store, { limit = 1000, ttl = 55 * 60_000, name }) {
    this.#client = client;
    this.#store = store;
    this.#limit = limit;
    this.#ttl = ttl;
    this.name = name;
    this.#undo = client.on("state", ({ state }) => state === "open" && this.#send());
    this.#send();
  }

  get kept() {
    return this.#store.kept;
  }

  size() {
    return this.#store.count();
  }

  /** Resolves when the publish is stored; its `done` when the gateway has it. */
  async publish(topic, records, { idempotencyKey = randomKey() } = {}) {
    const entry = { topic, records: [].concat(records), idempotencyKey };
    // One after the other, so that the bound holds and the order is that of the calls.
    const added = this.#adding.then(async () => {
      if (this.#stop.signal.aborted) throw problem("outbox_closed", "the outbox was closed");
      if ((await this.#store.count()) >= this.#limit) {
        throw problem("outbox_full", `${this.#limit} publishes wait already`, { retryable: true });
      }
      return this.#store.add(entry);
    });
    this.#adding = added.catch(() => {});
    const number = await added;
    const done = new Promise((resolve, reject) => this.#callers.set(number, { resolve, reject }));
    done.catch(() => {}); // who does not look at it is told by `on("failed")`
    this.#send();
    return { idempotencyKey, done };
  }

  /** Calls `fn` for each publish that was refused for good. */
  onFailed(fn) {
    this.#failed.add(fn);
    return () => this.#failed.delete(fn);
  }

  /** Stops sending; what waits stays for the next time. */
  close() {
    this.#undo();
    this.#stop.abort();
    this.#store.close();
  }

  async #send() {
    this.#again = true;
    if (this.#sending) return;
    this.#sending = true;
    const all = () => this.#sendAll();
    try {
      // Of all tabs one sends. Should two, the keys keep records from being there twice.
      const locks = globalThis.navigator?.locks;
      if (locks && this.kept) await locks.request(`tidegate-outbox-${this.name}`, { signal: this.#stop.signal }, all);
      else await all();
    } catch (error) {
      if (!this.#stop.signal.aborted) queueMicrotask(() => Promise.reject(error));
    }
    this.#sending = false;
    if (this.#again && !this.#stop.signal.aborted) this.#send();
  }

  async #sendAll() {
    this.#again = false;
    for (const [number, { resolve }] of this.#callers) {
      if (await this.#store.has(number)) continue;
      this.#callers.delete(number);
      resolve(); // by another tab
    }
    for (let first; !this.#stop.signal.aborted && (first = await this.#store.first()); ) {
      if (!(await this.#sendOne(...first))) return;
    }
  }

  /** Whether the next may be sent. */
  async #sendOne(number, entry) {
    const { topic, records, idempotencyKey, tried } = entry;
    const client = this.#client;
    if (client.state !== "open") return false;
    // Nothing is held, the lock above all, while the connection is away.
    const away = new AbortController();
    const still = client.on("state", () => away.abort());
    let outcome, refused;
    try {
      // The gateway remembers a key for a time only.
      if (tried && Date.now() - tried > this.#ttl) {
        const detail = "it was sent longer ago than the gateway remembers idempotency keys, and no answer came";
        throw problem("outbox_expired", detail, { may_have_happened: true });
      }
      if (!tried) await this.#store.put(number, { ...entry, tried: Date.now() });
      outcome = await client.publish(topic, records, { idempotencyKey, signal: away.signal });
    } catch (error) {
      if (this.#stop.signal.aborted || client.state !== "open") return false;
      if (error.retryable) {
        setTimeout(() => this.#send(), 1000);
        return false;
      }
      refused = error;
    } finally {
      still();
    }
    await this.#store.remove(number);
    // It may have been there to send before its caller was.
    const caller = this.#callers.get(number);
    this.#callers.delete(number);
    if (!refused) caller?.resolve(outcome);
    else {
      caller?.reject(refused);
      for (const fn of this.#failed) fn({ topic, records, idempotencyKey, error: refused });
    }
    return true;
  }
}

export async function openOutbox(client, { name = "default", store, ...options } = {}) {
  if (!store && globalThis.indexedDB) store = await Database.open(name).catch(() => undefined);
  return new Outbox(client, store ?? new Memory(), { ...options, name });
}
