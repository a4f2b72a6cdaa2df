// What a member of a group makes of frames: what it works on, commits and lets go of, decided by it alone, so against a
// scripted server and under virtual time.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";
import { connect } from "../../../static/sdk/group.js";
import { Scripted } from "../harness/scripted.mjs";

const parts = (...partitions) => (partitions.length ? { orders: partitions } : {});
const records = (partition, first, last, more) => ({
  op: "records",
  sub: 1,
  topic: "orders",
  partition,
  epoch: 0,
  next: last + 1,
  records: Array.from({ length: last + 1 - first }, (_, i) => ({ partition, offset: first + i, timestamp: 1, headers: [], value: first + i })),
  ...more,
});
const assigned = (generation, ...partitions) => ({ op: "assigned", sub: 1, generation, partitions: parts(...partitions), positions: {} });
const revoking = (generation, ...partitions) => ({ op: "revoking", sub: 1, generation, partitions: parts(...partitions), grace_ms: 30_000 });
const revoked = (generation, ...partitions) => ({ op: "revoked", sub: 1, generation, partitions: parts(...partitions) });
const problem = (code, more) => ({ code, detail: code, retryable: false, ...more });
/** Lets promises go on that wait for nothing but each other. */
const settle = async () => {
  for (let i = 0; i < 50; i++) await Promise.resolve();
};

let client;
let group;
let worked;
let told;
let ended;

/** Answers the last frame of this kind. */
const ok = (op, more) => Scripted.last.says({ op: "ok", id: Scripted.last.asked(op).at(-1).id, sub: 1, ...more });
const refused = (op, code, more) => Scripted.last.says({ op: "error", id: Scripted.last.asked(op).at(-1).id, sub: 1, problem: problem(code, more) });
const joins = () => Scripted.last.asked("join");
const commits = () => Scripted.last.asked("commit").map(({ generation, commits }) => [generation, commits.map((c) => [c.partition, c.offset])]);
const releases = () => Scripted.last.asked("release").map(({ partitions }) => partitions);

/** A member that has joined under generation 1. */
async function member(options, work = (record) => void worked.push([record.partition, record.offset])) {
  client = connect("https://gateway.example", { WebSocket: Scripted });
  group = client.group("billing", { topics: ["orders"], ...options });
  for (const event of ["joined", "assigned", "revoking", "revoked", "committed", "lost", "expired", "error", "left"]) {
    group.on(event, (detail) => told.push([event, detail]));
  }
  ended = group.run(work).then(
    () => "resolved",
    (error) => error,
  );
  await settle();
  Scripted.last.hello();
  ok("join", { member_id: "m-1", generation: 1, session_timeout_ms: 45_000 });
  await settle();
}

beforeEach(() => {
  Scripted.made = [];
  [worked, told] = [[], []];
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_700_000_000_000 });
});

afterEach(async () => {
  client.close();
  await settle();
  mock.timers.reset();
});

test("it joins as it was asked to, works in order, and commits after a while", async () => {
  await member({ from: "latest", sessionTimeout: 10_000, credit: 100, memberId: "mine" });
  assert.deepEqual(joins(), [
    { op: "join", id: 1, sub: 1, group: "billing", topics: ["orders"], from: "latest", session_timeout_ms: 10_000, member_id: "mine", credit: 100 },
  ]);
  assert.equal(group.memberId, "m-1");
  Scripted.last.says(assigned(1, 0, 1), records(0, 0, 2), records(1, 5, 5));
  await settle();
  assert.deepEqual(worked, [[0, 0], [0, 1], [0, 2], [1, 5]]);
  assert.deepEqual(commits(), []);
  mock.timers.tick(1_000);
  assert.deepEqual(commits(), [[1, [[0, 3], [1, 6]]]]);
  ok("commit", { commits: [] });
  mock.timers.tick(10_000);
  await settle();
  assert.equal(commits().length, 1);
  assert.deepEqual(told.map(([event]) => event), ["joined", "assigned", "committed"]);
});

test("it commits after so many records, one commit at a time", async () => {
  await member({ commitEvery: 3 });
  Scripted.last.says(assigned(1, 0), records(0, 0, 9));
  await settle();
  assert.deepEqual(commits(), [[1, [[0, 3]]]]);
  ok("commit", { commits: [] });
  assert.deepEqual(commits().at(-1), [1, [[0, 10]]]);
});

test("credit goes back as records are worked on", async () => {
  await member({ credit: 4 });
  Scripted.last.says(assigned(1, 0), records(0, 0, 3));
  await settle();
  assert.deepEqual(Scripted.last.asked("credit"), [{ op: "credit", sub: 1, records: 2 }, { op: "credit", sub: 1, records: 2 }]);
});

test("what is revoked is worked on no more, committed, and let go of", async () => {
  const doors = [];
  await member({}, (record) => {
    worked.push([record.partition, record.offset]);
    return new Promise((done) => doors.push(done));
  });
  Scripted.last.says(assigned(1, 0, 1), records(1, 0, 4), records(0, 0, 1));
  await settle();
  Scripted.last.says(revoking(2, 1), assigned(2, 0));
  await settle();
  // The record in hand is finished first.
  assert.deepEqual([worked, commits(), releases()], [[[1, 0]], [], []]);
  doors.shift()();
  await settle();
  assert.deepEqual(commits(), [[2, [[1, 1]]]]);
  assert.deepEqual(releases(), []);
  ok("commit", { commits: [] });
  assert.deepEqual(releases(), [{ orders: [1] }]);
  Scripted.last.says(revoked(3, 1));
  await settle();
  assert.deepEqual(worked, [[1, 0], [0, 0]]);
  const [, detail] = told.find(([event]) => event === "revoking");
  assert.deepEqual(detail, { partitions: { orders: [1] }, generation: 2, graceMs: 30_000 });
});

test("what is revoked while another record is in hand is let go of at once", async () => {
  await member({}, () => new Promise(() => {}));
  Scripted.last.says(assigned(1, 0, 1), records(0, 0, 0), records(1, 0, 0));
  await settle();
  Scripted.last.says(revoking(2, 1));
  assert.deepEqual(releases(), [{ orders: [1] }]);
});

test("what became another's while it was in hand is not committed", async () => {
  let done;
  await member({ commitEvery: 1 }, () => new Promise((resolve) => (done = resolve)));
  Scripted.last.says(assigned(1, 0), records(0, 0, 0));
  await settle();
  Scripted.last.says(revoking(2, 0), revoked(3, 0));
  done();
  await settle();
  mock.timers.tick(5_000);
  assert.deepEqual([commits(), releases()], [[], []]);
});

test("a lost connection is a pause: what was done is neither lost nor done again", async () => {
  await member();
  Scripted.last.says(assigned(1, 0), records(0, 0, 4));
  await settle();
  Scripted.last.ends(1006);
  await settle();
  mock.timers.tick(1_000);
  await settle();
  Scripted.last.hello();
  assert.equal(joins()[0].member_id, "m-1");
  ok("join", { member_id: "m-1", generation: 1 });
  Scripted.last.says(assigned(1, 0), records(0, 0, 6));
  await settle();
  assert.deepEqual(worked.map(([, offset]) => offset), [0, 1, 2, 3, 4, 5, 6]);
  mock.timers.tick(1_000);
  assert.deepEqual(commits(), [[1, [[0, 7]]]]);
});

test("after a pause in which others may have had it, the commits alone count", async () => {
  await member();
  Scripted.last.says(assigned(1, 0), records(0, 0, 4));
  await settle();
  Scripted.last.ends(1006);
  await settle();
  mock.timers.tick(1_000);
  await settle();
  Scripted.last.hello();
  ok("join", { member_id: "m-1", generation: 7 });
  Scripted.last.says(assigned(7, 0), records(0, 0, 1));
  await settle();
  assert.deepEqual(worked.map(([, offset]) => offset), [0, 1, 2, 3, 4, 0, 1]);
});

test("one that is ended for a time alone joins again", async () => {
  for (const [code, more] of [["member_expired", {}], ["member_unknown", {}], ["unavailable", { retryable: true }]]) {
    [worked, told] = [[], []];
    await member();
    Scripted.last.says(assigned(1, 0), { op: "unsubscribed", sub: 1, problem: problem(code, more) });
    await settle();
    mock.timers.tick(1_000);
    assert.equal(joins().length, 2);
    ok("join", { member_id: "m-1", generation: 3 });
    Scripted.last.says(assigned(3, 0), records(0, 7, 7));
    await settle();
    assert.deepEqual(worked, [[0, 7]], code);
    assert.ok(told.some(([event]) => event === "expired"));
    client.close();
  }
});

test("a commit that is refused is made by parts, and what is another's is given up", async () => {
  await member({ commitEvery: 2 });
  Scripted.last.says(assigned(1, 0, 1), records(0, 0, 0), records(1, 0, 0));
  await settle();
  refused("commit", "fenced");
  assert.deepEqual(commits().at(-1), [1, [[0, 1]]]);
  refused("commit", "fenced");
  assert.deepEqual(commits().at(-1), [1, [[1, 1]]]);
  ok("commit", { commits: [] });
  mock.timers.tick(10_000);
  assert.equal(commits().length, 3);
  assert.deepEqual(told.filter(([event]) => event === "error").map(([, { error }]) => error.code), ["fenced"]);
});

test("a commit that failed for a time is made again", async () => {
  await member({ commitEvery: 1 });
  Scripted.last.says(assigned(1, 0), records(0, 0, 0));
  await settle();
  refused("commit", "too_busy", { retryable: true });
  mock.timers.tick(2_000);
  assert.deepEqual(commits(), [[1, [[0, 1]]], [1, [[0, 1]]]]);
});

test("work that fails ends it, after what came before was committed", async () => {
  const broken = new Error("the printer burns");
  await member({}, (record) => {
    worked.push(record.offset);
    if (record.offset === 2) throw broken;
  });
  Scripted.last.says(assigned(1, 0), records(0, 0, 4));
  await settle();
  assert.deepEqual([worked, commits()], [[0, 1, 2], [[1, [[0, 2]]]]]);
  ok("commit", { commits: [] });
  assert.equal(await ended, broken);
  assert.deepEqual(Scripted.last.asked("unsubscribe"), [{ op: "unsubscribe", sub: 1 }]);
});

test("closing finishes what is in hand, commits and leaves", async () => {
  let done;
  await member({}, () => new Promise((resolve) => (done = resolve)));
  Scripted.last.says(assigned(1, 0), records(0, 0, 4));
  await settle();
  const closed = group.close();
  await settle();
  assert.deepEqual(Scripted.last.asked("unsubscribe"), []);
  done();
  await settle();
  assert.deepEqual(commits(), [[1, [[0, 1]]]]);
  ok("commit", { commits: [] });
  await closed;
  assert.equal(await ended, "resolved");
  assert.equal(Scripted.last.asked("unsubscribe").length, 1);
});

test("work that never ends does not hold up the end for ever", async () => {
  await member({}, () => new Promise(() => {}));
  Scripted.last.says(assigned(1, 0), records(0, 0, 0));
  await settle();
  const closed = group.close();
  mock.timers.tick(10_000);
  await closed;
  assert.equal(await ended, "resolved");
});

test("what the gateway refuses for good is thrown", async () => {
  await member();
  Scripted.last.says({ op: "unsubscribed", sub: 1, problem: problem("topic_unknown") });
  assert.equal((await ended).code, "topic_unknown");
  await assert.rejects(group.run(() => {}), /once/);
});

test("the older of two connections of a member is ended", async () => {
  await member();
  Scripted.last.says({ op: "closing", reason: "replaced", reconnect: false, after_ms: 0, problem: problem("member_replaced") });
  Scripted.last.ends(4504, "replaced");
  assert.equal((await ended).code, "member_replaced");
});

test("a client that is closed ends its groups", async () => {
  await member();
  client.close();
  assert.equal(await ended, "resolved");
  const late = client.group("billing", { topic: "orders" });
  await assert.rejects(late.run(() => {}), { code: "client_closed" });
});

test("what is lost is told before the records behind it", async () => {
  await member({}, (record) => void told.push(["record", record.offset]));
  Scripted.last.says(assigned(1, 0), { op: "lost", sub: 1, topic: "orders", partition: 0, from: 0, to: 8, reason: "retention" }, records(0, 9, 9));
  await settle();
  assert.deepEqual(told.slice(2).map(([event]) => event), ["lost", "record"]);
});
