// The outbox where there is no IndexedDB: the same, in memory.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Memory, openOutbox } from "../../../static/sdk/outbox.js";
import { connect, numbers, range, values, within } from "../harness/client.mjs";
import { Gateway } from "../harness/gateway.mjs";
import { Proxy } from "../harness/proxy.mjs";

let gateway;
let proxy;
let client;

before(async () => {
  gateway = await Gateway.start();
  proxy = await Proxy.to(gateway.port);
  client = connect(proxy.url, { backoff: { base: 5, cap: 50 } });
});

after(async () => {
  client?.close();
  await proxy?.stop();
  await gateway?.stop();
});

test("publishes wait in order and are done once, through cuts and a kill", async () => {
  await gateway.topic("boxed");
  const outbox = await openOutbox(client, {});
  assert.equal(outbox.kept, false);
  const all = [];
  for (const record of numbers(0, 100)) {
    all.push((await outbox.publish("boxed", record)).done);
    if (record.value % 10 === 5) proxy.cut();
    if (record.value === 50) await gateway.restart();
  }
  const places = await within(Promise.all(all), "all answers");
  assert.deepEqual(places.map(([place]) => place.offset), range(0, 100));
  assert.deepEqual(values((await gateway.records("boxed")).get(0)), range(0, 100));
  outbox.close();
});

test("what was sent too long ago for its key to be remembered is not sent again", async () => {
  await gateway.topic("old");
  const store = new Memory();
  await store.add({ topic: "old", records: numbers(0, 1), idempotencyKey: "old", tried: Date.now() - 10_000 });
  await store.add({ topic: "old", records: numbers(1, 2), idempotencyKey: "young", tried: Date.now() });
  const outbox = await openOutbox(client, { store, ttl: 5_000 });
  const failed = [];
  outbox.onFailed(({ error }) => failed.push([error.code, error.mayHaveHappened]));
  const { done } = await outbox.publish("old", { value: 2 });
  await within(done, "the answer");
  assert.deepEqual(failed, [["outbox_expired", true]]);
  assert.deepEqual(values((await gateway.records("old")).get(0)), [1, 2]);
  outbox.close();
});

test("closed, it takes nothing more", async () => {
  const outbox = await openOutbox(client, {});
  outbox.close();
  await assert.rejects(outbox.publish("boxed", { value: 1 }), { code: "outbox_closed" });
});
