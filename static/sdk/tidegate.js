// The client of tidegate: subscriptions over one WebSocket that keep their place through reconnects, restarts and
// sleep, and publishes that are repeated only where that is safe. The interface is described in tidegate.d.ts.

const utf8 = new TextEncoder();
const PROTOCOL = "tidegate.v1";
const OPENING_MS = 10_000; // from `new WebSocket` to the server's hello
const PROBE_MS = 4_000; // a ping unanswered for so long: the socket is dead
const SILENCE = 1.6; // heartbeats that may be missing before a ping asks
const STEADY_MS = 10_000; // a connection that held so long forgives earlier failures
const MAX_TIMER = 2 ** 31 - 1;

const binary = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
function base64(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
const base64url = (bytes) => base64(bytes).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
const fromBase64url = (text) => binary(text.replace(/-/g, "+").replace(/_/g, "/"));

/** A problem (RFC 9457) as an Error. */
export class TidegateError extends Error {
  constructor(problem) {
    super(problem.detail || problem.title || problem.code);
    this.name = "TidegateError";
    this.code = problem.code;
    this.retryable = !!problem.retryable;
    this.mayHaveHappened = !!problem.may_have_happened;
    this.problem = problem;
  }
}

const failure = (code, detail, more) => new TidegateError({ code, detail, ...more });

// Positions: Map of topic -> { incarnation: 8 bytes, at: Map of partition -> [epoch, next] }. The text of a cursor is
// base64url of version 1, varint count of topics, each { name, incarnation, varint count, { partition, epoch, next }… }, CRC-32.

export function decodeCursor(text) {
  const bytes = fromBase64url(text);
  let i = 1;
  const bite = (n) => bytes.subarray(i, (i += n));
  const number = () => {
    let n = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[i++];
      n += (byte & 127) * scale;
      if (!(byte & 128)) return n;
    }
  };
  if (bytes[0] !== 1) throw failure("cursor_foreign", "the cursor is of another version");
  const positions = new Map();
  for (let topics = number(); topics > 0; topics--) {
    const name = new TextDecoder().decode(bite(number()));
    const topic = { incarnation: bite(8), at: new Map() };
    for (let n = number(); n > 0; n--) topic.at.set(number(), [number(), number()]);
    positions.set(name, topic);
  }
  return positions;
}

export function encodeCursor(positions) {
  const out = [1];
  const number = (n) => {
    for (; n > 127; n = Math.floor(n / 128)) out.push((n % 128) + 128);
    out.push(n);
  };
  number(positions.size);
  for (const [name, { incarnation, at }] of positions) {
    const bytes = utf8.encode(name);
    number(bytes.length);
    out.push(...bytes, ...incarnation);
    number(at.size);
    for (const [partition, [epoch, next]] of at) [partition, epoch, next].forEach(number);
  }
  let crc = -1;
  for (const byte of out) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  for (let k = 0; k < 32; k += 8) out.push((~crc >>> k) & 255);
  return base64url(out);
}

const move = (positions, { topic, partition }, epoch, next) => positions.get(topic)?.at.set(partition, [epoch, next]);

class Emitter {
  #listeners = {};

  /** Calls `fn` at every `event`; answers a function that ends it. */
  on(event, fn) {
    const set = (this.#listeners[event] ??= new Set());
    set.add(fn);
    return () => set.delete(fn);
  }

  /** Whether anybody listened. What a listener throws is reported and stops nothing. */
  _emit(event, detail) {
    const set = this.#listeners[event] ?? [];
    for (const fn of set) {
      try {
        fn(detail);
      } catch (error) {
        report(error);
      }
    }
    return set.size > 0;
  }
}

function report(error) {
  queueMicrotask(() => {
    throw error;
  });
}

class Record {
  constructor({ topic, partition, epoch }, wire) {
    Object.assign(this, wire, { topic, partition, epoch });
  }

  get bytes() {
    if (this.value_base64 !== undefined) return binary(this.value_base64);
    return utf8.encode(this.text ?? JSON.stringify(this.value));
  }

  get keyBytes() {
    if (this.key_base64 !== undefined) return binary(this.key_base64);
    return this.key === undefined ? undefined : utf8.encode(this.key);
  }

  header(name) {
    const found = this.headers?.find((header) => header.name === name);
    return found && (found.value ?? new TextDecoder().decode(binary(found.value_base64)));
  }
}

class Subscription extends Emitter {
  #link;
  #options;
  #onRecord;
  #pumping = false;
  #inbox = []; // frames not taken yet, oldest first
  #buffered = 0; // records in them
  #owed = 0; // records taken for which no credit was given back yet
  #received; // positions after the last frame that came: where a new connection goes on
  #taken; // positions after the last record that the application took
  #waiting = []; // callers of next()
  #live = false; // whether frames of its number are its own
  #ended = false;
  #error;

  constructor(link, sub, options, onRecord) {
    super();
    const { topic, topics = topic, from = "latest", partitions, keys, credit = 1000, encoding } = options;
    this.#link = link;
    const packed = globalThis.DecompressionStream ? encoding : undefined;
    this.#options = { topics: [].concat(topics), from, partitions, keys, credit, encoding: packed };
    this.#onRecord = onRecord;
    this.sub = sub;
  }

  /** Where the application stands: give it to `from: { cursor }` to go on after the last record taken. */
  get cursor() {
    return this.#taken ? encodeCursor(this.#taken) : this.#options.from.cursor;
  }

  close() {
    if (!this.#ended) this.#link.forget(this.sub);
    this.#inbox = [];
    this.#end();
  }

  /** The frame that makes it, or makes it go on, on a new connection. */
  _subscribe() {
    const { credit, from } = this.#options;
    const start = this.#received ? { cursor: encodeCursor(this.#received) } : from;
    this.#owed = 0;
    this.#live = false;
    return { ...this.#options, from: start, credit: Math.max(0, credit - this.#buffered) };
  }

  _subscribed({ cursor }) {
    this.#live = true;
    if (this.#received) return;
    this.#received = decodeCursor(cursor);
    this.#taken = decodeCursor(cursor);
    this._emit("subscribed", { subscription: this });
  }

  _frame(frame) {
    if (this.#ended || !this.#live) return;
    if (frame.op === "lagging" || frame.op === "caught_up") return void this._tell(frame.op, frame);
    if (frame.op === "position") this.#received = decodeCursor(frame.cursor);
    if (frame.op === "records") {
      move(this.#received, frame, frame.epoch, frame.next);
      this.#buffered += frame.records.length;
      frame.i = 0;
    }
    this.#inbox.push(frame);
    this.#serve();
  }

  /** It cannot go on: said after the records that came before. */
  get _live() {
    return this.#live;
  }

  _fail(error, op = "error") {
    this.#inbox.push({ op, error, problem: error.problem });
    this.#serve();
  }

  _tell(event, detail) {
    const told = this._emit(event, detail);
    return this.#link.emit(event, { subscription: this, ...detail }) || told;
  }

  #serve() {
    if (this.#onRecord) return void this.#pump();
    while (this.#waiting.length) {
      const record = this.#take();
      if (!record) return;
      this.#waiting.shift()[0]({ value: record, done: false });
    }
  }

  async #pump() {
    if (this.#pumping) return;
    this.#pumping = true;
    for (let record; (record = this.#take()); ) {
      try {
        const later = this.#onRecord(record, this);
        if (later?.then) await later;
      } catch (error) {
        report(error);
      }
    }
    this.#pumping = false;
  }

  /** The next record that is there; on the way tells of what lies before it. */
  #take() {
    for (let frame; (frame = this.#inbox[0]); ) {
      if (frame.op === "records" && frame.i < frame.records.length) {
        const wire = frame.records[frame.i++];
        const last = frame.i === frame.records.length;
        if (last) this.#inbox.shift();
        move(this.#taken, frame, frame.epoch, last ? frame.next : wire.offset + 1);
        this.#buffered--;
        this.#credit();
        return new Record(frame, wire);
      }
      this.#inbox.shift();
      if (frame.op === "records") move(this.#taken, frame, frame.epoch, frame.next);
      else if (frame.op === "position") this.#taken = decodeCursor(frame.cursor);
      else if (frame.op === "lost") this._tell("lost", frame);
      else this.#fail(frame);
    }
  }

  #credit() {
    if (++this.#owed < this.#options.credit / 2) return;
    if (this.#link.send({ op: "credit", sub: this.sub, records: this.#owed })) this.#owed = 0;
  }

  #fail({ op, error, problem }) {
    if (this.#ended) return;
    const told = this._tell(op, { problem, error });
    if (this.#onRecord && !told) report(error);
    this.#end(error);
  }

  #end(error) {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    for (const waiter of this.#waiting.splice(0)) this.#last(...waiter);
  }

  #last(resolve, reject) {
    const error = this.#error;
    this.#error = undefined;
    if (error) reject(error);
    else resolve({ value: undefined, done: true });
  }

  next() {
    return new Promise((resolve, reject) => {
      const record = this.#waiting.length ? undefined : this.#take();
      if (record) resolve({ value: record, done: false });
      else if (this.#ended) this.#last(resolve, reject);
      else this.#waiting.push([resolve, reject]);
    });
  }

  async return(value) {
    this.close();
    return { value, done: true };
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

/** A binary frame: u16 length and JSON of its head, then the rest, compressed once for all who read it. */
async function inflate(buffer) {
  const end = 2 + new DataView(buffer).getUint16(0);
  const head = new TextDecoder().decode(new Uint8Array(buffer, 2, end - 2));
  const stream = new Blob([new Uint8Array(buffer, end)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const rest = await new Response(stream).text();
  return { ...JSON.parse(head), ...JSON.parse(rest[0] === "{" ? rest : `{${rest}`) };
}

/** One connection, made again whenever it is lost. */
class Client extends Emitter {
  #url;
  #options;
  #socket = null;
  #timer; // the one that the state waits for: opening, silence, probe or the next attempt
  #renewal;
  #seen = 0; // when the last frame came
  #opened = 0;
  #attempt = 0;
  #notBefore = 0; // the server asked not to come back earlier
  #closing; // the server's last words
  #suspended = false; // the page lies in the back/forward cache, or frozen
  #inflating = 0;
  #order = Promise.resolve(); // frames are handled in their order, although some are inflated first
  #ids = 0;
  #answers = new Map(); // request id -> what to do with its answer
  #subscriptions = new Map();
  #publishes = new Set(); // not answered yet, oldest first
  #unlisten;
  #link = {
    send: (frame) => this.#send(frame),
    ask: (frame, answered) => this.#ask(frame, answered),
    emit: (event, detail) => this._emit(event, detail),
    forget: (sub) => {
      this.#subscriptions.delete(sub);
      this.#send({ op: "unsubscribe", sub });
    },
  };

  state = "connecting";
  hello;

  constructor(url, options) {
    super();
    this.#options = { base: 500, cap: 30_000, maxPending: 1000, ...options, ...options.backoff };
    const base = new URL(url, globalThis.location?.href);
    base.protocol = base.protocol.replace("http", "ws");
    base.pathname = base.pathname.replace(/\/*$/, "/v1/ws");
    this.#url = base.href;
    this.#unlisten = this.#listen();
    // After the caller has added listeners.
    queueMicrotask(() => this.state === "connecting" && this.#connect());
  }

  subscribe(options, onRecord) {
    return this._add((link, sub) => new Subscription(link, sub, options, onRecord));
  }

  _add(make) {
    if (this.state === "closed") throw failure("client_closed", "the client was closed");
    // The lowest that is free: most have one subscription, and share what is sent to number 1.
    let sub = 1;
    while (this.#subscriptions.has(sub)) sub++;
    const subscription = make(this.#link, sub);
    this.#subscriptions.set(sub, subscription);
    if (this.state === "open") this.#subscribe(subscription);
    return subscription;
  }

  /** Publishes one record or several, all or none. Repeated after a reconnect only with an idempotency key. */
  publish(topic, records, { idempotencyKey, signal } = {}) {
    return new Promise((resolve, reject) => {
      if (this.state === "closed") return reject(failure("client_closed", "the client was closed"));
      if (this.#publishes.size >= this.#options.maxPending) {
        return reject(failure("too_many_pending", "too many publishes are unanswered", { retryable: true }));
      }
      const wire = [].concat(records).map(({ bytes, ...record }) => (bytes ? { ...record, value_base64: base64(bytes) } : record));
      const frame = { op: "publish", topic, records: wire, idempotency_key: idempotencyKey };
      const publish = { frame, resolve, reject, sent: false };
      this.#publishes.add(publish);
      const withdraw = () => {
        const more = { retryable: true, may_have_happened: publish.sent };
        this.#settle(publish, failure("aborted", "the publish was given up", more));
      };
      if (signal?.aborted) return withdraw();
      signal?.addEventListener("abort", withdraw, { once: true });
      if (this.state === "open") this.#publish(publish);
    });
  }

  close() {
    if (this.state !== "closed") this.#end();
  }

  // The connection

  #set(state, detail) {
    this.state = state;
    this._emit("state", { state, ...detail });
  }

  #after(ms, then) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, Math.min(ms, MAX_TIMER));
  }

  async #connect() {
    this.#set("connecting", { attempt: this.#attempt });
    if (this.state !== "connecting") return;
    // Stands for the socket until there is one: what happens meanwhile makes this attempt void.
    const attempt = (this.#socket = {});
    this.#after(OPENING_MS, () => this.#drop());
    let token;
    try {
      token = await this.#token();
    } catch (error) {
      if (this.#socket === attempt) this.#lost(error);
      return;
    }
    if (this.#socket !== attempt) return;
    const Socket = this.#options.WebSocket ?? globalThis.WebSocket;
    const protocols = token ? [PROTOCOL, `bearer.${base64url(utf8.encode(token))}`] : [PROTOCOL];
    let socket;
    try {
      socket = this.#socket = new Socket(this.#url, protocols);
    } catch (error) {
      return this.#end(error); // the page or the address does not allow it, now or later
    }
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.#arrived(socket, data);
    socket.onerror = () => {}; // a close follows
    socket.onclose = ({ code, reason }) => this.#order.then(() => socket === this.#socket && this.#closed(code, reason));
    this.#renewBefore(token);
  }

  #send(frame) {
    if (this.state !== "open") return false;
    this.#socket.send(JSON.stringify(frame));
    return true;
  }

  #ask(frame, answered) {
    const id = ++this.#ids;
    this.#answers.set(id, answered);
    const { op, ...rest } = frame;
    this.#send({ op, id, ...rest });
  }

  #arrived(socket, data) {
    if (socket !== this.#socket) return;
    this.#seen = Date.now();
    if (typeof data === "string" && !this.#inflating) return this.#frame(JSON.parse(data));
    this.#inflating++;
    this.#order = this.#order
      .then(async () => {
        const frame = typeof data === "string" ? JSON.parse(data) : await inflate(data);
        if (socket === this.#socket) this.#frame(frame);
      })
      .catch((error) => socket === this.#socket && this.#lost(error))
      .then(() => this.#inflating--);
  }

  #frame(frame) {
    const { op, id } = frame;
    if (op === "hello") this.#open(frame);
    else if (op === "closing") this.#closing = frame;
    else if (op === "reauth") this.#renew();
    else if (frame.sub !== undefined && op !== "ok") {
      const subscription = this.#subscriptions.get(frame.sub);
      if (op === "unsubscribed") {
        if (!subscription?._live) return; // of one that had its number before
        this.#subscriptions.delete(frame.sub);
        subscription._fail(new TidegateError(frame.problem), op);
      } else if (op === "error") this.#answer(id, frame);
      else subscription?._frame(frame);
    } else if (id !== undefined) this.#answer(id, frame);
    // It may have ended a subscription while credit for that was on its way.
    else if (op === "error" && frame.problem.code !== "subscription_unknown") {
      this._emit("error", { problem: frame.problem, error: new TidegateError(frame.problem) });
    }
  }

  #answer(id, frame) {
    const answered = this.#answers.get(id);
    this.#answers.delete(id);
    answered?.(frame.problem && new TidegateError(frame.problem), frame);
  }

  #open(hello) {
    this.hello = hello;
    this.#opened = Date.now();
    this.#notBefore = 0;
    this.#set("open", { hello });
    if (this.state !== "open") return; // a listener closed it
    this.#watch();
    for (const subscription of this.#subscriptions.values()) this.#subscribe(subscription);
    for (const publish of this.#publishes) this.#publish(publish);
  }

  /** Asks by a ping when nothing was heard for longer than heartbeats leave silent. */
  #watch() {
    const limit = (this.hello.heartbeat_ms ?? 25_000) * SILENCE;
    const left = limit - Math.max(0, Date.now() - this.#seen);
    if (left <= 0) return this.#probe();
    this.#after(left, () => this.#watch());
  }

  #probe() {
    const asked = Date.now();
    this.#ask({ op: "ping" }, () => {});
    this.#after(PROBE_MS, () => (this.#seen >= asked ? this.#watch() : this.#drop()));
  }

  /** Leaves a socket that may never say that it is closed. */
  #drop() {
    this.#lost(failure("connection_silent", "the gateway does not answer"));
  }

  #closed(code, reason) {
    const words = this.#closing;
    const why = words?.reason ?? reason;
    const detail = `the connection was closed (${code} ${why || "without a reason"})`;
    const error = failure(why || "connection_lost", detail, { ...words?.problem, close: code });
    if (words?.reconnect === false || (code >= 4500 && code < 5000)) this.#end(error);
    else this.#lost(error);
  }

  #detach() {
    const socket = this.#socket;
    this.#socket = null;
    this.#closing = undefined;
    this.#answers.clear();
    clearTimeout(this.#timer);
    clearTimeout(this.#renewal);
    if (socket?.close) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  #lost(error) {
    const { base, cap } = this.#options;
    const words = this.#closing;
    if (this.state === "open" && Date.now() - this.#opened > STEADY_MS) this.#attempt = 0;
    this.#detach();
    for (const publish of this.#publishes) {
      if (!publish.sent || publish.frame.idempotency_key) continue;
      const detail = "the connection was lost before the answer came, and without an idempotency key it is not sent again";
      this.#settle(publish, failure("connection_lost", detail, { retryable: true, may_have_happened: true }));
    }
    if (this.#suspended) return this.#set("offline", { error });
    // Full jitter: those who lost one server together do not come back together.
    const delay = words?.after_ms || Math.random() * Math.min(cap, base * 2 ** Math.min(this.#attempt, 30));
    this.#attempt++;
    this.#notBefore = words ? Date.now() + delay : 0;
    this.#after(delay, () => this.#connect());
    const state = globalThis.navigator?.onLine === false ? "offline" : "waiting";
    this.#set(state, { attempt: this.#attempt, delay, error });
  }

  #end(error) {
    this.#unlisten();
    this.#detach();
    const { code = "client_closed", message = "the client was closed" } = error ?? {};
    for (const publish of this.#publishes) {
      this.#settle(publish, failure(code, message, { may_have_happened: publish.sent }));
    }
    // State first: nothing is to be sent on its account.
    this.#set("closed", { error });
    for (const subscription of this.#subscriptions.values()) error ? subscription._fail(error) : subscription.close();
    this.#subscriptions.clear();
  }

  // Requests

  #subscribe(subscription) {
    const { sub } = subscription;
    this.#ask({ op: "subscribe", sub, ...subscription._subscribe() }, (error, ok) => {
      if (this.#subscriptions.get(sub) !== subscription) return;
      if (!error) return subscription._subscribed(ok);
      if (error.retryable) return this.#later(() => this.#subscriptions.has(sub) && this.#subscribe(subscription));
      this.#subscriptions.delete(sub);
      subscription._fail(error);
    });
  }

  #publish(publish) {
    const { frame } = publish;
    const bound = this.hello.limits?.frame_bytes;
    const text = JSON.stringify(frame);
    // Behind its id it is a little longer; a character has up to three bytes.
    if (text.length * 3 > bound && utf8.encode(text).length + 32 > bound) {
      return this.#settle(publish, failure("body_too_large", `the gateway takes frames of at most ${bound} bytes`));
    }
    publish.sent = true;
    this.#ask(frame, (error, ok) => {
      if (error?.retryable && frame.idempotency_key) {
        return this.#later(() => this.#publishes.has(publish) && this.#publish(publish));
      }
      this.#settle(publish, error, ok.records);
    });
  }

  #settle(publish, error, records) {
    this.#publishes.delete(publish);
    if (error) publish.reject(error);
    else publish.resolve(records);
  }

  /** Once more on this connection, if it still stands then; a new one repeats everything by itself. */
  #later(again) {
    const socket = this.#socket;
    setTimeout(() => this.state === "open" && socket === this.#socket && again(), 500 + Math.random() * 1500);
  }

  // Tokens

  #token() {
    const { token } = this.#options;
    return typeof token === "function" ? token() : token;
  }

  #renewBefore(token) {
    clearTimeout(this.#renewal);
    try {
      const { exp } = JSON.parse(new TextDecoder().decode(fromBase64url(token.split(".")[1])));
      const left = exp * 1000 - Date.now() - 30_000;
      if (exp) this.#renewal = setTimeout(() => this.#renew(), Math.min(Math.max(left, 5_000), MAX_TIMER));
    } catch {
      // None, or not a JWT: the server says when it wants another.
    }
  }

  async #renew() {
    const socket = this.#socket;
    try {
      const token = await this.#token();
      if (!token || socket !== this.#socket) return;
      this.#ask({ op: "auth", token }, (error) => error && this._emit("error", { error, problem: error.problem }));
      this.#renewBefore(token);
    } catch (error) {
      this._emit("error", { error });
    }
  }

  // The page's life

  #listen() {
    const { document, window } = globalThis;
    if (!window?.addEventListener || !document) return () => {};
    const wake = () => this.#wake();
    const listeners = [
      [document, "visibilitychange", () => document.visibilityState === "visible" && this.#wake()],
      [document, "freeze", () => this.#suspend()],
      [document, "resume", () => this.#resume()],
      // A page with an open socket may not enter the back/forward cache.
      [window, "pagehide", () => this.#suspend()],
      [window, "pageshow", () => this.#resume()],
      [window, "online", wake],
      [window, "offline", wake],
    ];
    for (const [target, event, fn] of listeners) target.addEventListener(event, fn);
    return () => listeners.forEach(([target, event, fn]) => target.removeEventListener(event, fn));
  }

  #suspend() {
    if (this.#suspended || this.state === "closed") return;
    this.#suspended = true;
    this.#lost(failure("suspended", "the page is not shown"));
  }

  #resume() {
    if (!this.#suspended) return;
    this.#suspended = false;
    this.#connect();
  }

  /** Looks at once: a socket may have died in sleep, or the network come back. */
  #wake() {
    if (this.state === "open") this.#probe();
    else if (this.#timer && !this.#socket && !this.#suspended && this.state !== "closed") {
      this.#after(Math.max(0, this.#notBefore - Date.now()), () => this.#connect());
    }
  }
}

/** For the other entries. */
export const internals = { Client, Emitter, Record };

/** A client of the gateway at `url` (its base: `https://gateway.example`, or `/` of a page that it serves). */
export function connect(url, options = {}) {
  return new Client(url, options);
}
