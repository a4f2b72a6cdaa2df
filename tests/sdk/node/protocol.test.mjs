// What the client makes of frames, close codes, silence and tokens: decided by it alone, so against a scripted server
// and under virtual time.

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import zlib from "node:zlib";
import { connect, decodeCursor, encodeCursor } from "../../../static/sdk/tidegate.js";
import { Scripted } from "../harness/scripted.mjs";

const INCARNATION = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8]);
const cursorAt = (...places) => encodeCursor(new Map([["orders", { incarnation: INCARNATION, at: new Map(places) }]]));
const at = (cursor) => Object.fromEntries(decodeCursor(cursor).get("orders").at);
const records = (sub, partition, first, last, more) => ({
  op: "records",
  sub,
  topic: "orders",
  partition,
  epoch: 0,
  next: last + 1,
  records: Array.from({ length: last + 1 - first }, (_, i) => ({ partition, offset: first + i, timestamp: 1, headers: [], value: first + i })),
  ...more,
});
/** Lets promises go on that wait for nothing but each other. */
const settle = async () => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

let states;

async function opened(options) {
  states = [];
  const client = connect("https://gateway.example/base/", { WebSocket: Scripted, ...options });
  client.on("state", (state) => states.push(state));
  await settle();
  Scripted.last.hello();
  return client;
}

async function subscribed(options, onRecord, cursor = cursorAt([0, [0, 0]])) {
  const client = await opened();
  const subscription = client.subscribe({ topic: "orders", from: "earliest", ...options }, onRecord);
  const [ask] = Scripted.last.asked("subscribe");
  Scripted.last.says({ op: "ok", id: ask.id, sub: ask.sub, cursor });
  return { client, subscription, ask, sub: ask.sub };
}

beforeEach(() => {
  Scripted.made = [];
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_700_000_000_000 });
});

afterEach(() => {
  mock.restoreAll();
  mock.timers.reset();
});

test("a cursor is written as the gateway writes it", () => {
  // Cursor::encode of topic "orders", incarnation 0x0807060504030201, partition 0 at (2, 300), partition 130 at (0, 2^40).
  const positions = new Map([["orders", { incarnation: INCARNATION, at: new Map([[0, [2, 300]], [130, [0, 2 ** 40]]]) }]]);
  const text = encodeCursor(positions);
  const bytes = Buffer.from(text, "base64url");
  const body = "0101066f726465727301020304050607080200" + "02ac02" + "8201" + "00" + "808080808020";
  assert.equal(bytes.subarray(0, -4).toString("hex"), body);
  assert.equal(bytes.readUInt32LE(bytes.length - 4), zlib.crc32?.(bytes.subarray(0, -4)) ?? bytes.readUInt32LE(bytes.length - 4));
  assert.deepEqual(decodeCursor(text), positions);
});

describe("addresses and tokens", () => {
  test("the address is below the gateway's base, the token in the subprotocols", async () => {
    await opened({ token: async () => "a.b/ü" });
    assert.equal(Scripted.last.url, "wss://gateway.example/base/v1/ws");
    assert.deepEqual(Scripted.last.protocols, ["tidegate.v1", `bearer.${Buffer.from("a.b/ü").toString("base64url")}`]);
  });

  test("a token is renewed before it expires, and when the gateway asks", async () => {
    const claims = { exp: 1_700_000_000 + 300 };
    const jwt = (n) => `h.${Buffer.from(JSON.stringify({ ...claims, n, name: "ü" })).toString("base64url")}.s`;
    let n = 0;
    await opened({ token: () => jwt(n++) });
    mock.timers.tick(269_000);
    await settle();
    assert.equal(Scripted.last.asked("auth").length, 0);
    mock.timers.tick(1_500);
    await settle();
    assert.deepEqual(Scripted.last.asked("auth").map((frame) => frame.token), [jwt(1)]);
    Scripted.last.says({ op: "reauth" });
    await settle();
    assert.equal(Scripted.last.asked("auth")[1].token, jwt(2));
  });

  test("a token that cannot be had is tried for again", async () => {
    let tries = 0;
    const token = async () => {
      if (!tries++) throw new Error("the token service is away");
      return "t";
    };
    const client = connect("http://gateway.example", { WebSocket: Scripted, token });
    await settle();
    assert.deepEqual([client.state, Scripted.made.length], ["waiting", 0]);
    mock.timers.tick(1000);
    await settle();
    assert.equal(Scripted.last.protocols.length, 2);
  });
});

describe("coming back", () => {
  test("waits are random, grow, and are bounded", async () => {
    mock.method(Math, "random", () => 0.999);
    const client = await opened({ backoff: { base: 100, cap: 1000 } });
    const delays = [];
    client.on("state", ({ state, delay }) => state === "waiting" && delays.push(Math.round(delay)));
    for (let i = 0; i < 6; i++) {
      Scripted.last.ends(1006);
      await settle();
      mock.timers.tick(2000);
      await settle();
    }
    assert.deepEqual(delays, [100, 200, 400, 799, 999, 999]);
  });

  test("a connection that held forgives earlier failures", async () => {
    mock.method(Math, "random", () => 0.999);
    const client = await opened({ backoff: { base: 100, cap: 60_000 } });
    for (const [held, delay] of [[0, 100], [0, 200], [11_000, 100]]) {
      mock.timers.tick(held);
      Scripted.last.ends(1006);
      await settle();
      assert.equal(Math.round(states.at(-1).delay), delay);
      mock.timers.tick(5000);
      await settle();
      Scripted.last.hello();
    }
    client.close();
  });

  for (const code of [1001, 1006, 4000, 4001, 4002, 4003, 4004, 4499]) {
    test(`${code} is come back from`, async () => {
      const client = await opened();
      Scripted.last.ends(code);
      await settle();
      assert.equal(client.state, "waiting");
    });
  }

  for (const code of [4500, 4501, 4502, 4503, 4504, 4505, 4999]) {
    test(`${code} is final, and says why to all who wait`, async () => {
      const client = await opened();
      const waits = client.subscribe({ topic: "orders" }).next();
      const publish = client.publish("orders", { value: 1 });
      Scripted.last.ends(code, "because");
      await settle();
      assert.equal(client.state, "closed");
      assert.equal(states.at(-1).error.problem.close, code);
      await assert.rejects(waits, { code: "because" });
      await assert.rejects(publish, { code: "because", mayHaveHappened: true });
      await assert.rejects(client.publish("orders", { value: 1 }), { code: "client_closed", mayHaveHappened: false });
    });
  }

  test("the time that a closing gateway names is kept to the millisecond", async () => {
    await opened();
    Scripted.last.says({ op: "closing", reason: "shutting_down", reconnect: true, after_ms: 1234 });
    Scripted.last.ends(4000);
    await settle();
    assert.deepEqual([states.at(-1).state, states.at(-1).delay], ["waiting", 1234]);
    mock.timers.tick(1233);
    assert.equal(Scripted.made.length, 1);
    mock.timers.tick(1);
    await settle();
    assert.equal(Scripted.made.length, 2);
  });

  test("a gateway that says not to come back is believed", async () => {
    const client = await opened();
    Scripted.last.says({ op: "closing", reason: "not_authorised", reconnect: false });
    Scripted.last.ends(1000);
    await settle();
    assert.equal(client.state, "closed");
  });
});

describe("silence", () => {
  test("heartbeats keep a connection", async () => {
    const client = await opened();
    for (let i = 0; i < 10; i++) {
      mock.timers.tick(25_000);
      Scripted.last.says({ op: "heartbeat" });
    }
    assert.equal(client.state, "open");
    assert.equal(Scripted.last.asked("ping").length, 0);
  });

  test("a silent socket is asked by a ping, and left when it does not answer", async () => {
    const client = await opened();
    mock.timers.tick(39_999);
    assert.equal(Scripted.last.asked("ping").length, 0);
    mock.timers.tick(1);
    const [ping] = Scripted.last.asked("ping");
    mock.timers.tick(3_000);
    Scripted.last.says({ op: "pong", id: ping.id });
    mock.timers.tick(1_000);
    assert.equal(client.state, "open");
    mock.timers.tick(40_000);
    mock.timers.tick(4_000);
    assert.equal(client.state, "waiting");
    assert.ok(Scripted.made[0].shut);
  });

  test("a socket that does not open is left", async () => {
    const client = connect("http://gateway.example", { WebSocket: Scripted });
    await settle();
    mock.timers.tick(10_000);
    assert.equal(client.state, "waiting");
    // What it says now is nobody's business.
    Scripted.made[0].hello();
    assert.equal(client.state, "waiting");
  });
});

describe("resuming", () => {
  test("a new connection goes on after the last record that came", async () => {
    const { subscription, sub } = await subscribed({ credit: 10, keys: ["a"], partitions: [0] });
    Scripted.last.says(records(sub, 0, 0, 4));
    assert.equal((await subscription.next()).value.offset, 0);
    assert.deepEqual(at(subscription.cursor), { 0: [0, 1] });
    Scripted.last.ends(1006);
    await settle();
    mock.timers.tick(1000);
    await settle();
    Scripted.last.hello();
    const [again] = Scripted.last.asked("subscribe");
    assert.deepEqual(at(again.from.cursor), { 0: [0, 5] });
    // Four records wait to be taken: they count against the credit.
    const { id, from, ...rest } = again;
    assert.deepEqual(rest, { op: "subscribe", sub, topics: ["orders"], keys: ["a"], partitions: [0], credit: 6 });
    Scripted.last.says({ op: "ok", id, sub, cursor: again.from.cursor }, records(sub, 0, 5, 6));
    const offsets = [];
    for (let i = 0; i < 6; i++) offsets.push((await subscription.next()).value.offset);
    assert.deepEqual(offsets, [1, 2, 3, 4, 5, 6]);
  });

  test("a cursor follows each record, to the end of its batch, and positions without records", async () => {
    const { subscription, sub } = await subscribed();
    Scripted.last.says(records(sub, 0, 7, 8, { epoch: 3, next: 20 }));
    await subscription.next();
    assert.deepEqual(at(subscription.cursor), { 0: [3, 8] });
    await subscription.next();
    assert.deepEqual(at(subscription.cursor), { 0: [3, 20] });
    const waits = subscription.next();
    Scripted.last.says({ op: "position", sub, cursor: cursorAt([0, [3, 90]]) }, records(sub, 0, 95, 95, { epoch: 3 }));
    assert.equal((await waits).value.offset, 95);
    assert.deepEqual(at(subscription.cursor), { 0: [3, 96] });
  });

  test("a position frame moves the cursor only past records that were taken", async () => {
    const { subscription, sub } = await subscribed();
    Scripted.last.says(records(sub, 0, 0, 0), { op: "position", sub, cursor: cursorAt([0, [0, 50]]) });
    assert.deepEqual(at(subscription.cursor), { 0: [0, 0] });
    await subscription.next();
    assert.deepEqual(at(subscription.cursor), { 0: [0, 1] });
  });

  test("what is lost is told before the next record, and in the order of taking", async () => {
    const { subscription, client, sub } = await subscribed();
    const told = [];
    subscription.on("lost", ({ from, to, reason }) => told.push([from, to, reason]));
    client.on("lost", (lost) => told.push(lost.subscription === subscription));
    Scripted.last.says(records(sub, 0, 0, 0), { op: "lost", sub, topic: "orders", partition: 0, from: 1, to: 9, reason: "retention" });
    Scripted.last.says(records(sub, 0, 10, 10));
    await subscription.next();
    assert.deepEqual(told, []);
    assert.equal((await subscription.next()).value.offset, 10);
    assert.deepEqual(told, [[1, 9, "retention"], true]);
  });
});

test("frames of a number are not those of the subscription that had it before", async () => {
  const { client, subscription, sub } = await subscribed();
  subscription.close();
  const seen = [];
  const later = client.subscribe({ topic: "orders", from: "earliest" }, (record) => void seen.push(record.offset));
  assert.equal(later.sub, sub);
  Scripted.last.says(records(sub, 0, 0, 3));
  const [, { id }] = Scripted.last.asked("subscribe");
  Scripted.last.says({ op: "ok", id, sub, cursor: cursorAt([0, [0, 7]]) }, records(sub, 0, 7, 7));
  assert.deepEqual(seen, [7]);
});

test("where nothing opens deflate it is not asked for", async () => {
  const { DecompressionStream } = globalThis;
  delete globalThis.DecompressionStream;
  try {
    const { ask } = await subscribed({ encoding: "deflate" });
    assert.equal(ask.encoding, undefined);
  } finally {
    globalThis.DecompressionStream = DecompressionStream;
  }
});

describe("credit", () => {
  test("is given back as records are taken, in halves", async () => {
    const { subscription, sub } = await subscribed({ credit: 4 });
    Scripted.last.says(records(sub, 0, 0, 3));
    assert.deepEqual(Scripted.last.asked("credit"), []);
    for (let i = 0; i < 4; i++) await subscription.next();
    assert.deepEqual(Scripted.last.asked("credit").map((frame) => frame.records), [2, 2]);
  });

  test("a callback that takes its time holds the next record and the credit back", async () => {
    let finish;
    const seen = [];
    const { sub } = await subscribed({ credit: 2 }, (record) => {
      seen.push(record.offset);
      return new Promise((resolve) => (finish = resolve));
    });
    Scripted.last.says(records(sub, 0, 0, 1));
    await settle();
    assert.deepEqual(seen, [0]);
    assert.equal(Scripted.last.asked("credit").length, 1);
    finish();
    await settle();
    assert.deepEqual(seen, [0, 1]);
  });
});

describe("the end of a subscription", () => {
  test("a refusal is thrown by the iterator", async () => {
    const client = await opened();
    const waits = client.subscribe({ topic: "nowhere" }).next();
    const [{ id }] = Scripted.last.asked("subscribe");
    Scripted.last.says({ op: "error", id, problem: { code: "topic_unknown", detail: "no", retryable: false } });
    await assert.rejects(waits, { code: "topic_unknown" });
  });

  test("a refusal that may pass is tried again", async () => {
    const client = await opened();
    client.subscribe({ topic: "orders" }, () => {});
    const [{ id }] = Scripted.last.asked("subscribe");
    Scripted.last.says({ op: "error", id, problem: { code: "too_busy", retryable: true } });
    mock.timers.tick(2_000);
    assert.equal(Scripted.last.asked("subscribe").length, 2);
  });

  test("a topic that goes away ends it after its records", async () => {
    const { subscription, sub } = await subscribed();
    const told = [];
    subscription.on("unsubscribed", ({ problem }) => told.push(problem.code));
    Scripted.last.says(records(sub, 0, 0, 0), { op: "unsubscribed", sub, problem: { code: "topic_unknown" } });
    assert.equal((await subscription.next()).value.offset, 0);
    assert.deepEqual(told, []);
    await assert.rejects(subscription.next(), { code: "topic_unknown" });
    assert.deepEqual(told, ["topic_unknown"]);
    assert.deepEqual(await subscription.next(), { value: undefined, done: true });
  });

  test("leaving the loop unsubscribes", async () => {
    const { subscription, sub } = await subscribed();
    Scripted.last.says(records(sub, 0, 0, 5));
    for await (const record of subscription) if (record.offset === 2) break;
    assert.deepEqual(Scripted.last.asked("unsubscribe"), [{ op: "unsubscribe", sub }]);
    Scripted.last.says(records(sub, 0, 6, 6));
    assert.deepEqual(at(subscription.cursor), { 0: [0, 3] });
  });
});

describe("publishing", () => {
  const ok = ({ id }) => Scripted.last.says({ op: "ok", id, records: [{ partition: 0, offset: 1, epoch: 0 }] });

  test("what waits for a connection is sent when there is one", async () => {
    const client = connect("http://gateway.example", { WebSocket: Scripted });
    const publish = client.publish("orders", [{ value: 1 }, { bytes: Uint8Array.from([255, 0]), key: "k" }]);
    await settle();
    Scripted.last.hello();
    const [{ id, ...frame }] = Scripted.last.asked("publish");
    assert.deepEqual(frame, { op: "publish", topic: "orders", records: [{ value: 1 }, { key: "k", value_base64: "/wA=" }] });
    ok({ id });
    assert.deepEqual(await publish, [{ partition: 0, offset: 1, epoch: 0 }]);
  });

  test("a lost connection repeats what has a key, and only that", async () => {
    const client = await opened();
    const without = client.publish("orders", { value: 1 });
    const keyed = client.publish("orders", { value: 2 }, { idempotencyKey: "k" });
    Scripted.last.ends(1006);
    await assert.rejects(without, { code: "connection_lost", mayHaveHappened: true, retryable: true });
    mock.timers.tick(1000);
    await settle();
    Scripted.last.hello();
    const again = Scripted.last.asked("publish");
    assert.deepEqual(again.map((frame) => frame.idempotency_key), ["k"]);
    ok(again[0]);
    await keyed;
  });

  test("a refusal that may pass is repeated where there is a key", async () => {
    const client = await opened();
    const keyed = client.publish("orders", { value: 1 }, { idempotencyKey: "k" });
    const without = client.publish("orders", { value: 1 });
    const problem = { code: "too_busy", retryable: true };
    for (const { id } of Scripted.last.asked("publish")) Scripted.last.says({ op: "error", id, problem });
    await assert.rejects(without, { code: "too_busy" });
    mock.timers.tick(2_000);
    ok(Scripted.last.asked("publish")[2]);
    await keyed;
  });

  test("the bounds: frames, and how many are unanswered", async () => {
    const client = await opened({ maxPending: 1 });
    Scripted.last.hello({ limits: { frame_bytes: 200 } });
    await assert.rejects(client.publish("orders", { value: "x".repeat(200) }), { code: "body_too_large" });
    const first = client.publish("orders", { value: 1 });
    await assert.rejects(client.publish("orders", { value: 2 }), { code: "too_many_pending", retryable: true });
    ok(Scripted.last.asked("publish")[0]);
    await first;
  });

  test("one can give up waiting", async () => {
    const client = await opened();
    const given = new AbortController();
    const publish = client.publish("orders", { value: 1 }, { signal: given.signal });
    given.abort();
    await assert.rejects(publish, { code: "aborted", mayHaveHappened: true });
  });
});

test("frames keep their order around those that are inflated first", async () => {
  const seen = [];
  const { client, sub } = await subscribed({ encoding: "deflate" }, (record) => void seen.push(record.offset));
  const packed = (frame) => {
    const { op, sub, ...shared } = frame;
    const head = Buffer.from(JSON.stringify({ op, sub }));
    const length = Buffer.alloc(2);
    length.writeUInt16BE(head.length);
    const bytes = Buffer.concat([length, head, zlib.deflateSync(JSON.stringify(shared).slice(1))]);
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  };
  // Real time: inflating is the platform's.
  mock.timers.reset();
  Scripted.last.says(packed(records(sub, 0, 0, 499)), records(sub, 0, 500, 500), packed(records(sub, 0, 501, 502)));
  const closed = new Promise((resolve) => client.on("state", resolve));
  Scripted.last.ends(1006);
  assert.equal((await closed).state, "waiting");
  client.close();
  assert.deepEqual(seen, Array.from({ length: 503 }, (_, i) => i));
});
