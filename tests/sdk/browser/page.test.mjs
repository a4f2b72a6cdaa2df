// The client in a real Chromium: imported from the gateway, through the page's life, sleep, kills and blocked ways,
// with its outbox in IndexedDB.

import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { Chromium } from "../harness/chromium.mjs";
import { numbers, range, values } from "../harness/client.mjs";
import { Gateway } from "../harness/gateway.mjs";
import { Proxy } from "../harness/proxy.mjs";

let gateway;
let proxy;
let browser;
let page;
let topics = 0;

before(async () => {
  gateway = await Gateway.start();
  proxy = await Proxy.to(gateway.port);
  browser = await Chromium.start();
});

after(async () => {
  await browser?.stop();
  await proxy?.stop();
  await gateway?.stop();
});

afterEach(async () => {
  await page?.close();
  page = undefined;
  Object.assign(proxy, { frozen: false, noUpgrades: false, noStreams: false, closed: false });
  proxy.cut();
});

/** A page with a client that reads a topic of its own: `seen` is what it was handed. */
async function reading({ module = "tidegate", ask = {}, url = `${proxy.url}/page` } = {}) {
  const topic = `page-${++topics}`;
  await gateway.topic(topic);
  page = await browser.open(url);
  await start(module, topic, ask);
  return topic;
}

async function start(module, topic, ask) {
  await page.run(
    async (module, topic, ask) => {
      const { connect } = await import(`/sdk/${module}.js`);
      window.client = connect("/", { backoff: { base: 20, cap: 200 } });
      window.seen = [];
      window.states = [];
      client.on("state", ({ state, error }) => states.push(error ? `${state} ${error.code}` : state));
      window.subscription = client.subscribe({ topic, from: "earliest", ...ask }, ({ value }) => void seen.push(value));
      await new Promise((resolve) => subscription.on("subscribed", resolve));
    },
    module,
    topic,
    ask,
  );
}

const sees = (count) => page.until((count) => window.seen?.length >= count, count);
const seen = () => page.run(() => window.seen);
const open = () => page.until(() => window.client?.state === "open");
const states = () => page.run(() => window.states);

describe("the page's life", () => {
  test("a page that comes back from the back/forward cache goes on where it was", async () => {
    const topic = await reading();
    await gateway.publish(topic, numbers(0, 5));
    await sees(5);
    await page.run(() => (window.mark = "kept"));
    await page.goto(`${proxy.url}/page?other`);
    await gateway.publish(topic, numbers(5, 10));
    await page.run(() => void setTimeout(() => history.back()));
    await page.until((url) => location.href === url && window.mark === "kept", `${proxy.url}/page`);
    await sees(10);
    assert.deepEqual(await seen(), range(0, 10));
    assert.ok((await states()).includes("offline suspended"));
  });

  test("a frozen page lets go, and goes on when it is resumed", async () => {
    const topic = await reading();
    await page.call("Page.setWebLifecycleState", { state: "frozen" });
    await gateway.publish(topic, numbers(0, 5));
    await page.call("Page.setWebLifecycleState", { state: "active" });
    await sees(5);
    assert.deepEqual(await seen(), range(0, 5));
  });

  test("a page that becomes visible notices a socket that died in its sleep", async () => {
    const topic = await reading();
    const other = await browser.open(`${proxy.url}/page?front`);
    await browser.call("Target.activateTarget", { targetId: other.target });
    proxy.frozen = true;
    await gateway.publish(topic, numbers(0, 5));
    await browser.call("Target.activateTarget", { targetId: page.target });
    const asked = Date.now();
    await page.until(() => states.includes("waiting connection_silent"));
    // Long before heartbeats would have been missed.
    assert.ok(Date.now() - asked < 15_000);
    proxy.frozen = false;
    proxy.cut();
    await sees(5);
    assert.deepEqual(await seen(), range(0, 5));
    await other.close();
  });

  test("offline is said, and the network's return is used at once", async () => {
    const topic = await reading();
    await page.offline(true);
    proxy.cut();
    await page.until(() => client.state === "offline");
    await gateway.publish(topic, numbers(0, 5));
    await page.offline(false);
    await sees(5);
    assert.deepEqual(await seen(), range(0, 5));
  });
});

describe("in a browser", () => {
  test("a gateway killed and started again is gone on with", async () => {
    const topic = await reading();
    for (let i = 0; i < 3; i++) {
      await gateway.publish(topic, numbers(i * 10, i * 10 + 10));
      await sees(i * 10 + 10);
      await gateway.restart();
    }
    await open();
    await gateway.publish(topic, numbers(30, 31));
    await sees(31);
    assert.deepEqual(await seen(), range(0, 31));
  });

  test("compressed batches are opened, in their order", async () => {
    const topic = await reading({ ask: { encoding: "deflate", credit: 50 } });
    for (let i = 0; i < 20; i++) await gateway.publish(topic, numbers(i * 50, i * 50 + 50));
    await sees(1000);
    assert.deepEqual(await seen(), range(0, 1000));
  });

  for (const [way, blocked] of [["SSE", { noUpgrades: true }], ["long poll", { noUpgrades: true, noStreams: true }]]) {
    test(`${way} carries on where WebSocket is blocked`, async () => {
      Object.assign(proxy, blocked);
      const topic = await reading({ module: "fallback", ask: { credit: 20 } });
      assert.equal(await page.run(() => client.hello.transport), "http");
      await gateway.publish(topic, numbers(0, 60));
      await sees(60);
      proxy.cut();
      await page.run((topic) => client.publish(topic, { value: 60 }, { idempotencyKey: "once" }), topic);
      await sees(61);
      assert.deepEqual(await seen(), range(0, 61));
    });
  }

  test("publishes from the page, and reads what it is not told of as bytes", async () => {
    const topic = await reading();
    const places = await page.run((topic) => client.publish(topic, [{ value: 1 }, { bytes: new Uint8Array([1, 2]) }]), topic);
    assert.deepEqual(places.map((place) => place.offset), [0, 1]);
    await sees(2);
    assert.deepEqual(await seen(), [1, null]);
  });
});

describe("the outbox", () => {
  const openBox = (name) =>
    page.run(async (name) => {
      const [{ connect }, { openOutbox }] = [await import("/sdk/tidegate.js"), await import("/sdk/outbox.js")];
      window.client ??= connect("/", { backoff: { base: 20, cap: 200 } });
      window.box = await openOutbox(client, { name, limit: 50 });
      window.failed = [];
      box.onFailed(({ error }) => failed.push(error.code));
      return box.kept;
    }, name);
  const put = (topic, from, to) =>
    page.run(
      async (topic, from, to) => {
        for (let value = from; value < to; value++) await box.publish(topic, { value });
        return box.size();
      },
      topic,
      from,
      to,
    );
  const empty = () => page.until(async () => (await box.size()) === 0);
  const published = async (topic) => values((await gateway.records(topic)).get(0) ?? []);

  test("publishes made offline are sent in order once the network is back", async () => {
    const topic = await reading();
    assert.equal(await openBox("offline"), true);
    await page.offline(true);
    proxy.closed = true;
    proxy.cut();
    assert.equal(await put(topic, 0, 10), 10);
    assert.deepEqual(await published(topic), []);
    proxy.closed = false;
    await page.offline(false);
    await empty();
    assert.deepEqual(await published(topic), range(0, 10));
  });

  test("they outlive a reload, and a browser that dies", async () => {
    const topic = await reading();
    await openBox("reload");
    proxy.closed = true;
    proxy.cut();
    await put(topic, 0, 5);
    proxy.closed = false;
    await page.run(() => client.close());
    await page.goto(`${proxy.url}/page?again`);
    await page.run(() => (window.client = { state: "connecting", on: () => () => {} }));
    await openBox("reload");
    assert.equal(await put(topic, 5, 8), 8);
    await browser.end();
    await browser.run();
    page = await browser.open(`${proxy.url}/page?new`);
    await openBox("reload");
    await empty();
    assert.deepEqual(await published(topic), range(0, 8));
  });

  test("what was sent when the connection was lost is there once", async () => {
    const topic = await reading();
    await openBox("cut");
    for (let i = 0; i < 10; i++) {
      await put(topic, i * 5, i * 5 + 5);
      proxy.cut();
    }
    await empty();
    assert.deepEqual(await published(topic), range(0, 50));
  });

  test("it is bounded, and tells of what was refused for good without holding up the rest", async () => {
    const topic = await reading();
    await openBox("bound");
    proxy.closed = true;
    proxy.cut();
    await put("nowhere", 0, 1);
    await put(topic, 0, 49);
    await assert.rejects(put(topic, 49, 50), /50 publishes wait already/);
    proxy.closed = false;
    await empty();
    assert.deepEqual(await page.run(() => failed), ["topic_unknown"]);
    assert.deepEqual(await published(topic), range(0, 49));
  });

  test("two tabs share one: each record is there once, and both are told", async () => {
    const topic = await reading();
    await openBox("tabs");
    const first = page;
    page = await browser.open(`${proxy.url}/page?second`);
    await openBox("tabs");
    const publish = (tab, from) =>
      tab.run(
        async (topic, from) => {
          const all = [];
          for (let value = from; value < from + 20; value++) all.push(await box.publish(topic, { value }));
          await Promise.all(all.map(({ done }) => done));
        },
        topic,
        from,
      );
    await Promise.all([publish(first, 0), publish(page, 100)]);
    const found = await published(topic);
    assert.deepEqual(found.filter((n) => n < 100), range(0, 20));
    assert.deepEqual(found.filter((n) => n >= 100), range(100, 120));
    await first.close();
  });
});
