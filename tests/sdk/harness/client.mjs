// The client under test, with a WebSocket for Nodes that have none, and ways to wait for what is to happen.

import { createRequire } from "node:module";
import path from "node:path";
import { ROOT } from "./gateway.mjs";
import * as core from "../../../static/sdk/tidegate.js";
import * as fallback from "../../../static/sdk/fallback.js";

export const installed = createRequire(path.join(ROOT, ".cache/sdk/package.json"));
export const { WebSocket } = installed("ws");

const PATIENCE = 30_000;
/** Quick, so that a test does not wait for what is random. */
const backoff = { base: 50, cap: 500 };

export const connect = (url, options) => core.connect(url, { WebSocket, backoff, ...options });
export const connectAnyhow = (url, options) => fallback.connect(url, { WebSocket, backoff, ...options });

/** What `event` says next, if it is what `fits`. */
export function next(emitter, event, fits = () => true) {
  return within(
    new Promise((resolve) => {
      const off = emitter.on(event, (detail) => {
        if (!fits(detail)) return;
        off();
        resolve(detail);
      });
    }),
    `event '${event}'`,
  );
}

export function state(client, wanted) {
  return client.state === wanted ? Promise.resolve() : next(client, "state", ({ state }) => state === wanted);
}

/** `promise`, if it is kept in time. */
export async function within(promise, what, ms = PATIENCE) {
  let late;
  const patience = new Promise((_, reject) => {
    late = setTimeout(() => reject(new Error(`${what} did not come within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, patience]);
  } finally {
    clearTimeout(late);
  }
}

/** The next `count` records. */
export async function take(subscription, count) {
  const records = [];
  while (records.length < count) {
    const { value, done } = await within(subscription.next(), `record ${records.length} of ${count}`);
    if (done) throw new Error(`it ended after ${records.length} records of ${count}`);
    records.push(value);
  }
  return records;
}

export const values = (records) => records.map((record) => record.value);
export const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
export const numbers = (from, to) => range(from, to).map((value) => ({ value }));
