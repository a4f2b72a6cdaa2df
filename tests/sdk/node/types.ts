// Read by the compiler alone: what may be written with the types of the package, and what may not.

import { connect, decodeCursor, encodeCursor, TidegateError } from "tidegate";
import type { Client, From, Place, Subscription, TidegateRecord } from "tidegate";
import { connect as connectAnyhow } from "tidegate/fallback";
import { Memory, openOutbox } from "tidegate/outbox";
import "tidegate/group";
import type { Group, Partitions } from "tidegate/group";

class Socket {}

const client: Client = connect("https://gateway.example", {
  token: async () => (await fetch("/token")).text(),
  WebSocket: Socket,
  backoff: { cap: 10_000 },
});
const anyhow: Client = connectAnyhow(new URL("https://gateway.example"), { retry: 60_000 });

async function read(): Promise<string | undefined> {
  const starts: From[] = ["earliest", "latest", { last: 10 }, { time: new Date() }, { cursor: "AQ" }];
  const subscription = client.subscribe({ topics: ["orders"], from: starts[0]!, keys: ["a"], credit: 10, encoding: "deflate" });
  for await (const record of subscription) {
    const bytes: Uint8Array = record.bytes;
    const trace: string | undefined = record.header("trace");
    console.log(record.topic, record.partition, record.offset, record.key, record.value, record.text, bytes, trace);
  }
  return subscription.cursor;
}

const called: Subscription = anyhow.subscribe({ topic: "orders" }, async (record: TidegateRecord<{ id: number }>, subscription) => {
  if (record.value?.id === 7) subscription.close();
});
const off: () => void = called.on("lost", ({ topic, from, to, reason }) => console.log(topic, to - from, reason === "retention"));
client.on("state", ({ state, attempt, delay }) => console.log(state === "waiting", attempt, delay));

async function write(): Promise<Place[]> {
  try {
    return await client.publish("orders", [{ key: "a", value: { id: 1 } }, { bytes: new Uint8Array(3) }], { idempotencyKey: "k" });
  } catch (error) {
    if (error instanceof TidegateError && error.mayHaveHappened) off();
    throw error;
  }
}

async function later(): Promise<void> {
  const outbox = await openOutbox(client, { name: "orders", store: new Memory() });
  outbox.onFailed(({ topic, error }) => console.log(topic, error.message));
  const { idempotencyKey, done } = await outbox.publish("orders", { text: "hello" });
  console.log(idempotencyKey, (await done)?.[0]?.offset, outbox.kept);
}

async function share(): Promise<void> {
  const group: Group = client.group("billing", { topics: ["orders"], from: "latest", memberId: "m", commitEvery: 10 });
  group.on("assigned", ({ partitions, generation }: { partitions: Partitions; generation: number }) => console.log(partitions["orders"], generation));
  group.on("revoking", ({ graceMs }) => console.log(graceMs));
  await group.run(async (record: TidegateRecord<{ id: number }>, self) => {
    if (record.value?.id === 7) void self.close();
  });
  console.log(group.memberId);
}

// @ts-expect-error: a group begins where it committed
client.group("billing", { topic: "orders", from: { last: 10 } });
// @ts-expect-error: no such start
client.subscribe({ topic: "orders", from: "middle" });
// @ts-expect-error: no such event
client.on("opened", () => {});
// @ts-expect-error: a record, not a value
void client.publish("orders", 7);
void [read, write, later, share, encodeCursor(decodeCursor("AQ"))];
