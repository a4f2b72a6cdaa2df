// The client against the gateway itself, over connections that are cut, silent, blocked, and closed by a stop.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { decodeCursor } from "../../../static/sdk/tidegate.js";
import { connect, connectAnyhow, next, numbers, range, state, take, values, WebSocket, within } from "../harness/client.mjs";
import { Gateway } from "../harness/gateway.mjs";
import { Proxy } from "../harness/proxy.mjs";

let gateway;
let proxy;
let clients = [];
let topics = 0;

before(async () => {
  gateway = await Gateway.start();
  proxy = await Proxy.to(gateway.port);
});

after(async () => {
  await proxy?.stop();
  await gateway?.stop();
});

afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  Object.assign(proxy, { frozen: false, noUpgrades: false, noStreams: false, closed: false });
  proxy.cut();
});

function client(url = gateway.url, options = {}, how = connect) {
  const made = how(url, options);
  clients.push(made);
  return made;
}

async function topic(settings) {
  const name = `orders-${++topics}`;
  await gateway.topic(name, settings);
  return name;
}

const subscribed = (subscription) => next(subscription, "subscribed");

describe("reading", () => {
  test("from each start", async () => {
    const name = await topic();
    await gateway.publish(name, range(0, 10).map((value) => ({ value, timestamp: 1000 + value })));
    const c = client();
    for (const [from, first] of [
      ["earliest", 0],
      [{ last: 3 }, 7],
      [{ time: 1004 }, 4],
      [{ time: new Date(1005) }, 5],
      ["latest", 10],
    ]) {
      const subscription = c.subscribe({ topic: name, from });
      await subscribed(subscription);
      if (from === "latest") await gateway.publish(name, numbers(10, 11));
      const [record] = await take(subscription, 1);
      assert.equal(record.offset, first, JSON.stringify(from));
      subscription.close();
    }
  });

  test("a record is what was published", async () => {
    const name = await topic();
    await gateway.publish(name, [
      { key: "ключ", value: { a: [1, null] }, headers: [{ name: "trace", value: "t1" }, { name: "raw", value_base64: "/wA=" }], timestamp: 5 },
      { key_base64: "/wA=", text: "Grüße" },
      { value_base64: "AAEC/w==" },
      { key: "gone", value: null },
    ]);
    const [json, text, bytes, gone] = await take(client().subscribe({ topic: name, from: "earliest" }), 4);
    assert.deepEqual([json.topic, json.partition, json.offset, json.timestamp, json.key], [name, 0, 0, 5, "ключ"]);
    assert.deepEqual(json.value, { a: [1, null] });
    assert.equal(Buffer.from(json.bytes).toString(), '{"a":[1,null]}');
    assert.deepEqual([json.header("trace"), json.header("none")], ["t1", undefined]);
    assert.deepEqual([text.text, Buffer.from(text.bytes).toString()], ["Grüße", "Grüße"]);
    assert.deepEqual([...text.keyBytes], [255, 0]);
    assert.deepEqual([...bytes.bytes], [0, 1, 2, 255]);
    assert.deepEqual([gone.key, gone.value, bytes.keyBytes], ["gone", null, undefined]);
  });

  test("several topics and partitions by one subscription, one partition, and some keys", async () => {
    const [a, b] = [await topic({ partitions: 3 }), await topic()];
    const keyed = range(0, 60).map((value) => ({ key: `k${value % 6}`, value }));
    await gateway.publish(a, keyed);
    await gateway.publish(b, numbers(0, 5));
    const c = client();
    const both = await take(c.subscribe({ topics: [a, b], from: "earliest" }), 65);
    assert.equal(both.filter((record) => record.topic === b).length, 5);
    const found = await gateway.records(a);
    for (const [partition, expected] of found) {
      assert.deepEqual(values(both.filter((r) => r.topic === a && r.partition === partition)), values(expected));
      const alone = c.subscribe({ topic: a, from: "earliest", partitions: [partition] });
      assert.deepEqual(values(await take(alone, expected.length)), values(expected));
      alone.close();
    }
    const some = await take(c.subscribe({ topic: a, from: "earliest", keys: ["k1", "k4"] }), 20);
    assert.deepEqual(some.map((record) => record.value).sort((x, y) => x - y), values(keyed.filter(({ value }) => value % 3 === 1)));
  });

  test("compressed, in the same order, also among others", async () => {
    const name = await topic({ partitions: 2 });
    const c = client();
    const packed = c.subscribe({ topic: name, from: "earliest", encoding: "deflate", credit: 100 });
    const plain = c.subscribe({ topic: name, from: "earliest", credit: 100 });
    for (let i = 0; i < 20; i++) {
      await gateway.publish(name, range(0, 50).map((j) => ({ partition: j % 2, value: { n: i * 50 + j, text: "Grüße ".repeat(20) } })));
    }
    const sorted = (records) => [0, 1].map((p) => records.filter((r) => r.partition === p).map((r) => r.value.n));
    const [first, second] = await Promise.all([take(packed, 1000), take(plain, 1000)]);
    const expected = [0, 1].map((p) => range(0, 1000).filter((n) => (n % 50) % 2 === p));
    assert.deepEqual(sorted(first), expected);
    assert.deepEqual(sorted(second), expected);
  });

  test("a slow taker is not run over: what waits is bounded by its credit", async () => {
    const name = await topic();
    for (let i = 0; i < 5; i++) await gateway.publish(name, numbers(i * 1000, i * 1000 + 1000));
    let came = 0;
    class Counting extends WebSocket {
      set onmessage(fn) {
        super.onmessage = (message) => {
          const frame = JSON.parse(message.data);
          if (frame.op === "records") came += frame.records.length;
          fn?.(message);
        };
      }
    }
    const c = client(gateway.url, { WebSocket: Counting });
    const subscription = c.subscribe({ topic: name, from: "earliest", credit: 50 });
    let taken = 0;
    while (taken < 5000) {
      const [record] = await take(subscription, 1);
      assert.equal(record.value, taken++);
      assert.ok(came - taken < 50, `${came} came, ${taken} were taken`);
    }
  });

  test("a refusal is told with its problem", async () => {
    const subscription = client().subscribe({ topic: "nowhere", from: "earliest" });
    await assert.rejects(subscription.next(), { code: "topic_unknown", retryable: false });
  });

  test("a topic that is deleted ends its readers, and only those", async () => {
    const [a, b] = [await topic(), await topic()];
    const c = client();
    const [going, staying] = [c.subscribe({ topic: a, from: "earliest" }), c.subscribe({ topic: b, from: "earliest" })];
    await Promise.all([subscribed(going), subscribed(staying)]);
    await gateway.call("DELETE", `/v1/topics/${a}`);
    await assert.rejects(within(going.next(), "the end"), (error) => /topic/.test(error.code));
    await gateway.publish(b, numbers(0, 1));
    assert.equal((await take(staying, 1))[0].value, 0);
  });
});

describe("resuming", () => {
  test("the cursor goes on after the last record that was taken, in another client and over REST", async () => {
    const name = await topic({ partitions: 3 });
    await gateway.publish(name, range(0, 90).map((value) => ({ key: `k${value % 9}`, value })));
    const first = client().subscribe({ topic: name, from: "earliest", credit: 40 });
    const begun = await take(first, 17);
    const { cursor } = first;
    const rest = await take(client().subscribe({ topic: name, from: { cursor } }), 73);
    const page = await gateway.call("GET", `/v1/topics/${name}/records?cursor=${cursor}&limit=1000`);
    const byPlace = (x, y) => x.partition - y.partition || x.offset - y.offset;
    const places = (records) => records.map(({ partition, offset }) => ({ partition, offset })).sort(byPlace);
    assert.deepEqual(places(page.records), places(rest));
    assert.deepEqual(values([...begun, ...rest]).sort((x, y) => x - y), range(0, 90));
  });

  test("a cursor of an idle subscription stands where it began", async () => {
    const name = await topic();
    await gateway.publish(name, numbers(0, 5));
    const idle = client().subscribe({ topic: name, from: "latest" });
    await subscribed(idle);
    assert.deepEqual([...decodeCursor(idle.cursor).get(name).at], [[0, [0, 5]]]);
    const { cursor } = idle;
    idle.close();
    await gateway.publish(name, numbers(5, 6));
    assert.deepEqual(values(await take(client().subscribe({ topic: name, from: { cursor } }), 1)), [5]);
  });

  test("connections cut again and again lose and repeat nothing", async () => {
    const name = await topic({ partitions: 2 });
    const c = client(proxy.url, { backoff: { base: 5, cap: 20 } });
    const plain = c.subscribe({ topic: name, from: "earliest", credit: 64 });
    const packed = c.subscribe({ topic: name, from: "earliest", credit: 64, encoding: "deflate" });
    const reading = Promise.all([take(plain, 4000), take(packed, 4000)]);
    for (let i = 0; i < 40; i++) {
      await gateway.publish(name, range(0, 100).map((j) => ({ partition: j % 2, value: i * 100 + j })));
      if (i % 4 !== 3) continue;
      await state(c, "open");
      proxy.cut();
    }
    for (const records of await reading) {
      for (const partition of [0, 1]) {
        const seen = values(records.filter((record) => record.partition === partition));
        assert.deepEqual(seen, range(0, 4000).filter((n) => n % 2 === partition));
      }
    }
  });

  test("a gateway that is killed and started again is gone on with", async () => {
    const name = await topic();
    const c = client();
    const subscription = c.subscribe({ topic: name, from: "earliest" });
    for (let i = 0; i < 3; i++) {
      await gateway.publish(name, numbers(i * 10, i * 10 + 10));
      assert.deepEqual(values(await take(subscription, 10)), range(i * 10, i * 10 + 10));
      const lost = state(c, "waiting");
      await gateway.restart();
      await lost;
    }
  });

  test("a gateway that stops says so, when to come back, and is come back to", async () => {
    const name = await topic();
    const c = client();
    const subscription = c.subscribe({ topic: name, from: "earliest" });
    await subscribed(subscription);
    const waiting = next(c, "state", ({ state }) => state === "waiting");
    await gateway.end("SIGTERM");
    const { error, delay } = await waiting;
    assert.equal(error.code, "shutting_down");
    assert.ok(delay >= 0);
    await gateway.run();
    await gateway.publish(name, numbers(0, 1));
    assert.deepEqual(values(await take(subscription, 1)), [0]);
  });

  test("what is no longer kept is told before the next record", async () => {
    const name = await topic();
    await gateway.publish(name, numbers(0, 20));
    const first = client().subscribe({ topic: name, from: "earliest" });
    await take(first, 5);
    const { cursor } = first;
    first.close();
    await gateway.call("POST", `/v1/topics/${name}/trim`, { partition: 0, before: { offset: 12 } });
    const later = client().subscribe({ topic: name, from: { cursor } });
    const told = [];
    later.on("lost", ({ topic, partition, from, to, reason }) => told.push({ topic, partition, from, to, reason }));
    const [record] = await take(later, 1);
    assert.equal(record.offset, 12);
    assert.deepEqual(told, [{ topic: name, partition: 0, from: 5, to: 11, reason: "trimmed" }]);
  });

  test("a silent socket is noticed by the heartbeats that do not come, and left", async () => {
    const quick = await Gateway.start("--session-heartbeat", "300ms");
    const between = await Proxy.to(quick.port);
    await quick.topic("silent");
    const c = client(between.url);
    const subscription = c.subscribe({ topic: "silent", from: "earliest" });
    await subscribed(subscription);
    assert.equal(c.hello.heartbeat_ms, 300);
    between.frozen = true;
    await quick.publish("silent", numbers(0, 3));
    const { error } = await next(c, "state", ({ state }) => state === "waiting");
    assert.equal(error.code, "connection_silent");
    between.frozen = false;
    assert.deepEqual(values(await take(subscription, 3)), [0, 1, 2]);
    c.close();
    await between.stop();
    await quick.stop();
  });
});

describe("publishing", () => {
  test("answers where the records lie, and reads them back", async () => {
    const name = await topic({ partitions: 2 });
    const c = client();
    const places = await c.publish(name, [{ partition: 1, value: 1 }, { partition: 0, value: 2 }, { partition: 1, bytes: new Uint8Array([7]) }]);
    assert.deepEqual(places, [
      { partition: 1, offset: 0, epoch: 0 },
      { partition: 0, offset: 0, epoch: 0 },
      { partition: 1, offset: 1, epoch: 0 },
    ]);
    const found = await gateway.records(name);
    assert.deepEqual([...found.get(1).map((r) => r.value ?? r.value_base64)], [1, "Bw=="]);
    await assert.rejects(c.publish("nowhere", { value: 1 }), { code: "topic_unknown" });
    await assert.rejects(c.publish(name, { value: 1, text: "two" }), { code: "record_invalid" });
  });

  test("with keys it is done once, whatever happens to the connections", async () => {
    const name = await topic();
    const c = client(proxy.url, { backoff: { base: 5, cap: 20 } });
    const published = [];
    for (let i = 0; i < 200; i++) {
      published.push(c.publish(name, { value: i }, { idempotencyKey: `k${i}` }));
      if (i % 20 === 10) proxy.cut();
      if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await within(Promise.all(published), "all answers");
    const seen = values((await gateway.records(name)).get(0));
    assert.deepEqual([...seen].sort((x, y) => x - y), range(0, 200));
  });

  test("without one it is told that it may have happened", async () => {
    const name = await topic();
    const c = client(proxy.url);
    await state(c, "open");
    proxy.frozen = true;
    const publish = c.publish(name, { value: 1 });
    proxy.frozen = false;
    proxy.cut();
    await assert.rejects(publish, { code: "connection_lost", mayHaveHappened: true, retryable: true });
  });
});

describe("where WebSocket is blocked", () => {
  for (const [way, blocked] of [["WebSocket", {}], ["SSE", { noUpgrades: true }], ["long poll", { noUpgrades: true, noStreams: true }]]) {
    test(`${way} carries the same`, async () => {
      Object.assign(proxy, blocked);
      const name = await topic({ partitions: 2 });
      const other = await topic();
      await gateway.publish(name, range(0, 100).map((value) => ({ partition: value % 2, key: `k${value % 4}`, value })));
      const c = client(proxy.url, {}, connectAnyhow);
      const subscription = c.subscribe({ topics: [name, other], from: "earliest", credit: 30 });
      const first = await take(subscription, 51);
      assert.equal(c.hello.transport, way === "WebSocket" ? undefined : "http");
      const { cursor } = subscription;
      // Live, through a cut, and with a publish of its own.
      const rest = [...(await take(subscription, 49))];
      proxy.cut();
      const [place] = await c.publish(name, { partition: 0, value: 100 }, { idempotencyKey: `once-${way}` });
      assert.deepEqual(place, { partition: 0, offset: 50, epoch: 0 });
      rest.push(...(await take(subscription, 1)));
      for (const partition of [0, 1]) {
        const seen = values([...first, ...rest].filter((record) => record.partition === partition));
        assert.deepEqual(seen, range(0, 101).filter((n) => n % 2 === partition && (n < 100 || partition === 0)));
      }
      // The cursor of one way is good on another.
      const again = await take(client().subscribe({ topics: [name, other], from: { cursor } }), 50);
      assert.deepEqual(values(again).sort((x, y) => x - y), range(0, 101).filter((n) => !values(first).includes(n)));
      const keyed = await take(c.subscribe({ topic: name, from: "earliest", keys: ["k1"] }), 25);
      assert.deepEqual(values(keyed), range(0, 100).filter((n) => n % 4 === 1));
      await assert.rejects(c.subscribe({ topic: "nowhere", from: "earliest" }).next(), { code: "topic_unknown" });
      await assert.rejects(c.publish("nowhere", { value: 1 }), { code: "topic_unknown" });
    });
  }

  test("WebSocket is tried again after a time", async () => {
    proxy.noUpgrades = true;
    const name = await topic();
    const c = client(proxy.url, { retry: 300 }, connectAnyhow);
    const subscription = c.subscribe({ topic: name, from: "earliest" });
    await subscribed(subscription);
    assert.equal(c.hello.transport, "http");
    proxy.noUpgrades = false;
    await next(c, "state", ({ state, hello }) => state === "open" && !hello.transport);
    await gateway.publish(name, numbers(0, 1));
    assert.deepEqual(values(await take(subscription, 1)), [0]);
  });
});
