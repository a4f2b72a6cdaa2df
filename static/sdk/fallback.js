// The same client where WebSocket is blocked: by server-sent events, and where those are held back by long poll.
// To the core it looks like a WebSocket.

import { connect as core, decodeCursor, encodeCursor } from "./tidegate.js";

const FIRST_MS = 5_000; // a way that carried nothing for so long is taken for blocked
const RETRY_MS = 300_000; // how often WebSocket is tried again behind a connection that fell back
const SILENT_MS = 40_000; // an event stream carries something every 25 s
const WAIT_MS = 20_000;
const PAGE = 1000;

const after = (ms, fn) => {
  const timer = setTimeout(fn, ms);
  return () => clearTimeout(timer);
};

function query({ topics, from, partitions = [], keys = [] }, more) {
  const query = new URLSearchParams();
  for (const topic of topics) query.append("topic", topic);
  for (const partition of partitions) query.append("partition", partition);
  for (const key of keys) query.append("key", key);
  if (from?.cursor) query.set("cursor", from.cursor);
  else if (typeof from === "string") query.set("from", from);
  else for (const [kind, at] of Object.entries(from ?? {})) query.set("from", `${kind}:${at?.toISOString?.() ?? at}`);
  for (const [name, value] of Object.entries(more)) query.set(name, value);
  return `v1/records?${query}`;
}

/** One subscription over HTTP: frames like those of a WebSocket, out of events or pages. */
class Stream {
  #socket;
  #ask;
  #credit;
  #granted = () => {};
  #stop = new AbortController();
  #known = false;

  constructor(socket, ask) {
    this.#socket = socket;
    this.#ask = ask;
    this.#credit = ask.credit ?? Infinity;
    this.#run();
  }

  credit(records) {
    this.#credit += records;
    this.#granted();
  }

  close() {
    this.#stop.abort();
    this.#granted();
  }

  /** Waits until the application has taken enough of what it has. */
  async #room() {
    while (this.#credit <= 0 && !this.#stop.signal.aborted) await new Promise((resolve) => (this.#granted = resolve));
  }

  #say(frame) {
    if (!this.#stop.signal.aborted) this.#socket._say(frame);
  }

  #records(frame) {
    this.#credit -= frame.records.length;
    this.#say({ op: "records", sub: this.#ask.sub, ...frame });
  }

  #stands(cursor) {
    this.#ask.from = { cursor };
    const { id, sub } = this.#ask;
    if (this.#known) this.#say({ op: "position", sub, cursor });
    else this.#say({ op: "ok", id, sub, cursor });
    this.#known = true;
  }

  async #run() {
    try {
      if (this.#socket.memory.polls || !(await this.#events())) await this.#poll();
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#socket._broken(error);
    }
  }

  async #answer(path, accept, signal = this.#stop.signal) {
    const answer = await this.#socket._fetch(path, { headers: { accept }, signal });
    if (answer.ok) return answer;
    const problem = await this.#socket._problem(answer);
    if (this.#known && problem.retryable) throw new Error(problem.detail);
    this.#refused(problem);
  }

  #refused(problem) {
    const { id, sub } = this.#ask;
    this.#say(this.#known ? { op: "unsubscribed", sub, problem } : { op: "error", id, sub, problem });
    this.close();
  }

  /** Reads server-sent events; answers false when none come through. */
  async #events() {
    let blocked = false;
    const inner = new AbortController();
    const give = () => inner.abort((blocked = true));
    this.#stop.signal.addEventListener("abort", () => inner.abort());
    let watch = after(FIRST_MS, give);
    try {
      const answer = await this.#answer(query(this.#ask, { follow: true }), "text/event-stream", inner.signal);
      if (!answer) return true;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = ""; ; ) {
        const { value, done } = await reader.read();
        watch();
        if (done) throw new Error("the event stream ended");
        const events = (text + value).split(/\r?\n\r?\n/);
        text = events.pop();
        for (const event of events) this.#event(event);
        await this.#room();
        watch = after(SILENT_MS, () => this.#socket._broken());
      }
    } catch (error) {
      if (!blocked) throw error;
      this.#socket.memory.polls = true;
      return false;
    } finally {
      watch();
    }
  }

  #event(text) {
    const fields = {};
    for (const line of text.split(/\r?\n/)) {
      const [, name, value] = /^(\w+): ?([^]*)$/.exec(line) ?? [];
      if (name) fields[name] = name in fields ? `${fields[name]}\n${value}` : value;
    }
    const { id, event, data } = fields;
    const body = data ? JSON.parse(data) : {};
    const { sub } = this.#ask;
    if (event === "records") this.#records(body);
    else if (event === "position") this.#stands(id);
    else if (event === "lost") this.#say({ ...body, op: event, sub });
    else if (event === "closing" && !body.reconnect) this.#refused(body.problem);
    else if (event === "reauth" || event === "closing") this.#say({ ...body, op: event });
  }

  async #poll() {
    for (let wait = 0; !this.#stop.signal.aborted; wait = WAIT_MS) {
      await this.#room();
      const limit = Math.max(1, Math.min(PAGE, this.#credit));
      const answer = await this.#answer(query(this.#ask, { limit, wait_ms: wait }), "application/json");
      if (!answer) return;
      this.#page(await answer.json());
    }
  }

  #page({ records, lost, cursor }) {
    if (!this.#known) {
      // Where the page began: its cursor says where it ends.
      const start = decodeCursor(cursor);
      for (const { topic, partition, offset } of records.reverse()) start.get(topic).at.get(partition)[1] = offset;
      records.reverse();
      this.#stands(encodeCursor(start));
    }
    const end = decodeCursor(cursor);
    for (const notice of lost) this.#say({ op: "lost", sub: this.#ask.sub, ...notice });
    for (let i = 0; i < records.length; ) {
      const { topic, partition } = records[i];
      const first = i;
      while (i < records.length && records[i].topic === topic && records[i].partition === partition) i++;
      const next = records[i - 1].offset + 1;
      this.#records({ topic, partition, epoch: end.get(topic).at.get(partition)[0], next, records: records.slice(first, i) });
    }
    this.#stands(cursor);
  }
}

/** Looks like a WebSocket; is one where it can be. */
class AnySocket {
  #base;
  #token;
  #native;
  #streams = new Map();
  #ended = new AbortController();
  #undo = [];

  constructor(url, protocols, Native, memory) {
    this.#base = url.replace(/^ws/, "http").replace(/v1\/ws$/, "");
    const bearer = protocols.find((protocol) => protocol.startsWith("bearer."));
    this.#token = bearer && atob(bearer.slice(7).replace(/-/g, "+").replace(/_/g, "/"));
    this.memory = memory;
    if (Date.now() < memory.until) return void this.#fall();
    const blocked = () => {
      this.#leave();
      this.#fall();
    };
    const late = after(FIRST_MS, blocked);
    this.#undo.push(late);
    this.#native = new Native(url, protocols);
    this.#native.binaryType = "arraybuffer";
    this.#native.onerror = () => {};
    // With such a code the gateway itself has spoken.
    this.#native.onclose = (close) => (close.code >= 4000 ? this.onclose?.(close) : blocked());
    this.#native.onmessage = (message) => {
      late();
      this.#native.onclose = (close) => this.onclose?.(close);
      this.#native.onmessage = (message) => this.onmessage?.(message);
      this.onmessage?.(message);
    };
  }

  /** Goes by HTTP from here on, if that goes. */
  async #fall() {
    this.#undo.push(after(FIRST_MS, () => this._broken()));
    try {
      const answer = await this._fetch("healthz", { signal: this.#ended.signal });
      if (!answer.ok) throw new Error(`healthz answers ${answer.status}`);
    } catch (error) {
      return this._broken(error);
    }
    this.#undo.pop()();
    this.memory.until = Date.now() + this.memory.retry;
    this.#undo.push(after(this.memory.retry, () => this._broken()));
    this._say({ op: "hello", version: "tidegate.v1", connection: null, heartbeat_ms: 25_000, limits: {}, transport: "http" });
  }

  #leave() {
    const native = this.#native;
    this.#native = undefined;
    for (const undo of this.#undo) undo();
    if (!native) return;
    native.onclose = native.onmessage = null;
    native.close();
  }

  _say(frame) {
    if (!this.#ended.signal.aborted) this.onmessage?.({ data: JSON.stringify(frame) });
  }

  _broken(error) {
    if (this.#ended.signal.aborted) return;
    this.close();
    this.onclose?.({ code: 1006, reason: error?.message ?? "" });
  }

  _fetch(path, { headers, ...options } = {}) {
    const authorization = this.#token ? { authorization: `Bearer ${this.#token}` } : {};
    return fetch(this.#base + path, { cache: "no-store", ...options, headers: { ...headers, ...authorization } });
  }

  async _problem(answer) {
    const problem = await answer.json().catch(() => undefined);
    return problem?.code ? problem : { code: "http_status", detail: `answered ${answer.status}`, retryable: answer.status >= 500 };
  }

  send(text) {
    if (this.#native) return this.#native.send(text);
    const ask = JSON.parse(text);
    const stream = this.#streams.get(ask.sub);
    if (ask.op === "subscribe") this.#streams.set(ask.sub, new Stream(this, ask));
    else if (ask.op === "credit") stream?.credit(ask.records);
    else if (ask.op === "unsubscribe") stream?.close();
    else if (ask.op === "publish") this.#publish(ask);
    else if (ask.op === "ping") this.#ping(ask);
    else if (ask.op === "auth") {
      this.#token = ask.token;
      this._say({ op: "ok", id: ask.id });
    }
  }

  async #publish({ id, topic, records, idempotency_key }) {
    try {
      const headers = { "content-type": "application/json" };
      if (idempotency_key) headers["idempotency-key"] = idempotency_key;
      const path = `v1/topics/${encodeURIComponent(topic)}/records`;
      const answer = await this._fetch(path, { method: "POST", headers, body: JSON.stringify({ records }), signal: this.#ended.signal });
      if (answer.ok) this._say({ op: "ok", id, ...(await answer.json()) });
      else this._say({ op: "error", id, problem: await this._problem(answer) });
    } catch (error) {
      this._broken(error);
    }
  }

  async #ping({ id }) {
    try {
      await this._fetch("healthz", { signal: this.#ended.signal });
      this._say({ op: "pong", id });
    } catch (error) {
      this._broken(error);
    }
  }

  close() {
    this.#leave();
    this.#ended.abort();
    for (const stream of this.#streams.values()) stream.close();
  }
}

export function connect(url, options = {}) {
  const Native = options.WebSocket ?? globalThis.WebSocket;
  const memory = { until: 0, polls: false, retry: options.retry ?? RETRY_MS };
  const WebSocket = function (url, protocols) {
    return new AnySocket(url, protocols, Native, memory);
  };
  return core(url, { ...options, WebSocket });
}

export { TidegateError } from "./tidegate.js";
