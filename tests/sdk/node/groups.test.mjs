// Members of groups against the gateway itself: work that is shared, handed over, cut off and gone on with.

import assert from "node:assert/strict";
import { after, afterEach, before, test } from "node:test";
import "../../../static/sdk/group.js";
import { connect, next, numbers, range, within } from "../harness/client.mjs";
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
  proxy.closed = false;
  proxy.cut();
});

/** A member of group `g-<topic>`, and the values that it has worked on. */
function member(topic, options = {}, work = () => {}, url = gateway.url) {
  const client = connect(url);
  clients.push(client);
  const group = client.group(`g-${topic}`, { topics: topic, commitInterval: 50, ...options });
  const worked = [];
  const run = group.run(async (record) => {
    await work(record);
    worked.push(record.value);
  });
  run.catch(() => {});
  return { client, group, worked, run };
}

async function topic(settings) {
  const name = `work-${++topics}`;
  await gateway.topic(name, { partitions: 4, ...settings });
  return name;
}

async function until(what, holds) {
  const late = Date.now() + 30_000;
  while (!holds()) {
    if (Date.now() > late) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const sorted = (values) => [...values].sort((a, b) => a - b);
const held = ({ group }) => next(group, "assigned", ({ partitions }) => Object.keys(partitions).length > 0);

test("each record is worked on once, by one of the members, and goes on where it was committed", async () => {
  const name = await topic();
  await gateway.publish(name, numbers(0, 100));
  const one = member(name);
  await until("all were worked on", () => one.worked.length === 100);
  const two = member(name);
  await held(two);
  await gateway.publish(name, numbers(100, 200));
  await until("all were worked on", () => one.worked.length + two.worked.length === 200);
  assert.ok(two.worked.length > 0);
  assert.deepEqual(sorted([...one.worked, ...two.worked]), range(0, 200));
  await Promise.all([one.group.close(), two.group.close()]);
  await Promise.all([one.run, two.run]);
  await gateway.publish(name, numbers(200, 201));
  const three = member(name);
  await until("the newest was worked on", () => three.worked.length > 0);
  assert.deepEqual(three.worked, [200]);
});

test("a member that leaves hands over at once, and one that dies when its session is over", async () => {
  const name = await topic({ partitions: 1 });
  await gateway.publish(name, numbers(0, 3));
  const one = member(name);
  await until("it works", () => one.worked.length === 3);
  const two = member(name, { sessionTimeout: 1_000 });
  await next(two.group, "joined");
  const gained = held(two);
  await one.group.close();
  await gained;
  assert.deepEqual(two.worked, []);
  const three = member(name);
  await next(three.group, "joined");
  const taken = held(three);
  two.client.close();
  await within(taken, "the partition");
});

test("a connection that is cut is a pause: nothing is lost, nothing is done twice", async () => {
  const name = await topic();
  const one = member(name, { commitInterval: 10_000 }, () => {}, proxy.url);
  await held(one);
  await gateway.publish(name, numbers(0, 50));
  await until("it works", () => one.worked.length === 50);
  const { memberId } = one.group;
  const joined = next(one.group, "joined");
  proxy.cut();
  assert.equal((await joined).memberId, memberId);
  await gateway.publish(name, numbers(50, 100));
  await until("it goes on", () => one.worked.length >= 100);
  assert.deepEqual(sorted(one.worked), range(0, 100));
});

test("a gateway that is killed and started again: each record at least once, in the order of its partition", async () => {
  const name = await topic({ partitions: 2 });
  const [one, two] = [member(name), member(name)];
  await Promise.all([held(one), held(two)]);
  for (let round = 0; round < 3; round++) {
    await gateway.publish(name, numbers(round * 100, round * 100 + 100));
    if (round < 2) await gateway.restart();
  }
  await until("all were worked on", () => new Set([...one.worked, ...two.worked]).size === 300);
});

test("work that fails ends the run, and the record comes again to whoever has its partition next", async () => {
  const name = await topic({ partitions: 1 });
  await gateway.publish(name, numbers(0, 5));
  const broken = new Error("no");
  const one = member(name, {}, ({ value }) => {
    if (value === 3) throw broken;
  });
  await assert.rejects(one.run, (error) => error === broken);
  const two = member(name);
  await until("the rest is worked on", () => two.worked.length === 2);
  assert.deepEqual([one.worked, two.worked], [[0, 1, 2], [3, 4]]);
});

test("slow work in hand is finished and committed before its partition is another's", async () => {
  const name = await topic({ partitions: 2 });
  await gateway.publish(name, range(0, 20).map((value) => ({ value, partition: value % 2 })));
  const slow = () => new Promise((resolve) => setTimeout(resolve, 20));
  const one = member(name, {}, slow);
  await until("it works", () => one.worked.length >= 2);
  const two = member(name, {}, slow);
  await until("all were worked on", () => one.worked.length + two.worked.length >= 20);
  assert.ok(two.worked.length > 0);
  assert.deepEqual(sorted([...one.worked, ...two.worked]), range(0, 20));
});

test("a second one of the same id takes its place, and the first is told", async () => {
  const name = await topic();
  const one = member(name, { memberId: "the-one" });
  await held(one);
  const two = member(name, { memberId: "the-one" });
  await held(two);
  await assert.rejects(one.run, { code: "member_replaced" });
});

test("what cannot be joined is said", async () => {
  const name = await topic();
  for (const [options, code] of [
    [{ topics: "none" }, "topic_unknown"],
    [{ sessionTimeout: 1 }, "session_timeout_invalid"],
    [{ memberId: "a b" }, "member_id_invalid"],
  ]) {
    await assert.rejects(member(name, options).run, { code });
  }
});

test("a member by REST and one by this client share the work", async () => {
  const name = await topic({ partitions: 2 });
  await gateway.publish(name, range(0, 10).map((value) => ({ value, partition: value % 2 })));
  const one = member(name);
  await until("it works", () => one.worked.length === 10);
  const members = `/v1/groups/g-${name}/members`;
  await gateway.call("POST", members, { topics: [name], member_id: "rest" });
  await next(one.group, "revoked");
  await gateway.publish(name, range(10, 20).map((value) => ({ value, partition: value % 2 })));
  const polled = [];
  while (polled.length < 5) {
    const { records } = await gateway.call("POST", `${members}/rest/poll`, { wait_ms: 5_000 });
    polled.push(...records.map((record) => record.value));
  }
  await until("it goes on", () => one.worked.length === 15);
  assert.deepEqual(sorted([...one.worked, ...polled]), range(0, 20));
});
