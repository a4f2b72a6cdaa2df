// A gateway that is killed and started again under 200 clients that come back, while publishing goes on: each
// client ends with exactly what was published, partition by partition.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect, connectAnyhow, within } from "../harness/client.mjs";
import { Gateway } from "../harness/gateway.mjs";

const CLIENTS = 200;
const PARTITIONS = 4;
const KILLS = 4;
const BATCH = 20;
/** Acknowledged batches between two kills. */
const BETWEEN = 30;

let gateway;
before(async () => (gateway = await Gateway.start()));
after(() => gateway?.stop());

/** Publishes batch after batch, each until it is acknowledged, and tells how many were. */
class Publisher {
  published = 0;
  #client = connect(gateway.url, { backoff: { base: 50, cap: 500 } });
  #stopped = false;
  #progress = () => {};

  async run() {
    while (!this.#stopped) {
      const records = Array.from({ length: BATCH }, (_, i) => ({ partition: i % PARTITIONS, value: this.published + i }));
      await this.#client.publish("survival", records, { idempotencyKey: `batch-${this.published}` });
      this.published += BATCH;
      this.#progress();
    }
    this.#client.close();
    return this.published;
  }

  /** Resolves when so many more batches were acknowledged. */
  goesOn(batches) {
    const wanted = this.published + batches * BATCH;
    return new Promise((resolve) => (this.#progress = () => this.published >= wanted && resolve()));
  }

  stop() {
    this.#stopped = true;
  }
}

/** One reader: what it has seen of each partition, and who waits for it to have seen enough. */
class Reader {
  seen = Array.from({ length: PARTITIONS }, () => []);
  count = 0;
  lost = 0;
  opened = 0;
  #wanted = Infinity;
  #enough;

  constructor(number) {
    // Every kind of reader: all ways of taking, with both encodings, and some over HTTP.
    const options = { backoff: { base: 100, cap: 1000 } };
    this.client = number % 20 === 0 ? connectAnyhow(gateway.url, { ...options, WebSocket: Blocked }) : connect(gateway.url, options);
    this.client.on("state", ({ state }) => state === "open" && this.opened++);
    const ask = { topic: "survival", from: "earliest", credit: 50 + number, encoding: number % 3 ? "json" : "deflate" };
    if (number % 2) this.subscription = this.client.subscribe(ask, (record) => this.#take(record));
    else this.#iterate((this.subscription = this.client.subscribe(ask)));
    this.subscription.on("lost", () => this.lost++);
  }

  async #iterate(subscription) {
    for await (const record of subscription) this.#take(record);
  }

  #take(record) {
    this.seen[record.partition].push(record.value);
    if (++this.count >= this.#wanted) this.#enough?.();
  }

  /** Resolves when so many records were seen. */
  sees(count) {
    this.#wanted = count;
    return this.count >= count ? Promise.resolve() : new Promise((resolve) => (this.#enough = resolve));
  }
}

/** What a proxy leaves of WebSocket where it lets none through. */
class Blocked {
  constructor() {
    setTimeout(() => this.onclose?.({ code: 1006, reason: "" }));
  }
  close() {}
}

test(`${CLIENTS} clients and ${KILLS} kills`, async () => {
  await gateway.topic("survival", { partitions: PARTITIONS });
  const readers = Array.from({ length: CLIENTS }, (_, number) => new Reader(number));
  const publisher = new Publisher();
  const publishing = publisher.run();
  for (let i = 0; i < KILLS; i++) {
    await within(publisher.goesOn(BETWEEN), "progress", 60_000);
    await gateway.restart();
  }
  await within(publisher.goesOn(BETWEEN), "progress", 60_000);
  publisher.stop();
  const published = await within(publishing, "the last answer", 60_000);
  await within(Promise.all(readers.map((reader) => reader.sees(published))), `${published} records`, 120_000);

  const kept = await gateway.records("survival");
  const expected = Array.from({ length: PARTITIONS }, (_, partition) => kept.get(partition).map((record) => record.value));
  const all = expected.flat().sort((x, y) => x - y);
  assert.deepEqual(all, Array.from({ length: published }, (_, n) => n));
  for (const { seen, lost, client } of readers) {
    assert.equal(lost, 0);
    for (const [partition, values] of seen.entries()) assert.deepEqual(values, expected[partition]);
    client.close();
  }
  const opened = readers.map((reader) => reader.opened);
  console.log(`${published} records; each client opened ${Math.min(...opened)} to ${Math.max(...opened)} connections`);
  assert.ok(Math.min(...opened) > 1);
});
