import { Client, NewRecord, Place } from "./tidegate.js";

/** A publish that waits. */
export interface Entry {
  topic: string;
  records: NewRecord[];
  idempotencyKey: string;
  /** When it was sent first, milliseconds since 1970. */
  tried?: number;
}

/** Where publishes wait, by growing number. */
export interface Store {
  /** Whether it outlives the page. */
  readonly kept: boolean;
  add(entry: Entry): Promise<number>;
  put(number: number, entry: Entry): Promise<unknown>;
  remove(number: number): Promise<unknown>;
  has(number: number): Promise<unknown>;
  count(): Promise<number>;
  /** The one with the smallest number. */
  first(): Promise<[number, Entry] | undefined>;
  close(): void;
}

export class Memory implements Store {
  readonly kept: boolean;
  add(entry: Entry): Promise<number>;
  put(number: number, entry: Entry): Promise<void>;
  remove(number: number): Promise<void>;
  has(number: number): Promise<boolean>;
  count(): Promise<number>;
  first(): Promise<[number, Entry] | undefined>;
  close(): void;
}

export interface OutboxOptions {
  /** Outboxes of one name share what waits; `default` if not said. */
  name?: string;
  /** How many publishes may wait; 1000 if not said. */
  limit?: number;
  /** Milliseconds for which the gateway remembers a key, less some; 55 minutes if not said. */
  ttl?: number;
  /** Another place than IndexedDB. */
  store?: Store;
}

export interface Outbox {
  readonly name: string;
  /** Whether what waits here outlives the page. */
  readonly kept: boolean;
  size(): Promise<number>;
  /**
   * Resolves when the publish is stored. `done` is the gateway's answer to it, undefined where another tab sent it.
   * Rejects as `outbox_full` when `limit` publishes wait.
   */
  publish(
    topic: string,
    records: NewRecord | NewRecord[],
    options?: { idempotencyKey?: string },
  ): Promise<{ idempotencyKey: string; done: Promise<Place[] | undefined> }>;
  /** Told of what was refused for good, also of earlier pages. Answers what ends it. */
  onFailed(fn: (failed: Entry & { error: Error }) => void): () => void;
  /** Stops sending; what waits stays for the next time. */
  close(): void;
}

export function openOutbox(client: Client, options?: OutboxOptions): Promise<Outbox>;
