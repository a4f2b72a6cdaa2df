/** A header of a record, in the order of publishing. */
export interface Header {
  name: string;
  /** What it says, where that is text; else `value_base64`. */
  value?: string;
  value_base64?: string;
}

/** A record as it was read. Of `value`, `text` and `value_base64` it has one. */
export interface TidegateRecord<T = any> {
  readonly topic: string;
  readonly partition: number;
  readonly epoch: number;
  readonly offset: number;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly key?: string;
  /** A key that is no text. */
  readonly key_base64?: string;
  readonly headers?: Header[];
  /** A value that is JSON; `null` says that the key is gone. */
  readonly value?: T;
  /** A value that is text. */
  readonly text?: string;
  /** Any other value. */
  readonly value_base64?: string;
  /** The value's bytes, whatever its kind. */
  readonly bytes: Uint8Array;
  /** The key's bytes. */
  readonly keyBytes?: Uint8Array;
  /** The first header of that name. */
  header(name: string): string | undefined;
}

/** A record to publish. Of `value`, `text`, `bytes` and `value_base64` it has one. */
export interface NewRecord {
  value?: unknown;
  text?: string;
  bytes?: Uint8Array;
  value_base64?: string;
  key?: string;
  key_base64?: string;
  headers?: { [name: string]: string } | Header[];
  /** Milliseconds since 1970; else the time of appending. */
  timestamp?: number;
  /** Else the key decides, or the records take turns. */
  partition?: number;
}

/** Where a published record lies. */
export interface Place {
  partition: number;
  offset: number;
  epoch: number;
}

/** An error as RFC 9457 has it. */
export interface Problem {
  type?: string;
  title?: string;
  status?: number;
  detail?: string;
  code: string;
  retryable?: boolean;
  may_have_happened?: boolean;
  [member: string]: unknown;
}

/** What the gateway or this client refused. */
export class TidegateError extends Error {
  constructor(problem: Problem);
  /** A code of `/docs/errors`, or of this client: `aborted`, `client_closed`, `connection_lost`, `too_many_pending`. */
  code: string;
  /** Whether the same may succeed later. */
  retryable: boolean;
  /** Whether it may have had an effect. */
  mayHaveHappened: boolean;
  problem: Problem;
}

/** `cursor` as `subscription.cursor`, or any other answer of the gateway, gave it. */
export type From = "earliest" | "latest" | { last: number } | { offset: number } | { time: string | number | Date } | { cursor: string };

export interface SubscribeOptions {
  topic?: string;
  topics?: string | string[];
  /** Where to begin; `latest` if not said. */
  from?: From;
  /** Only these. */
  partitions?: number[];
  /** Only records with one of these keys, at most 100. */
  keys?: string[];
  /** How many records may be on their way or waiting to be taken; 1000 if not said. */
  credit?: number;
  /** `deflate` has batches compressed, once for all who ask. A platform that cannot open them gets `json`. */
  encoding?: "json" | "deflate";
}

/** Records that will not come: kept no longer, lost in a crash, or trimmed. */
export interface Lost {
  topic: string;
  partition: number;
  from: number;
  to: number;
  reason: "retention" | "truncated" | "trimmed";
}

export interface SubscriptionEvents {
  /** The gateway has accepted it; `cursor` says where it stands. */
  subscribed: { subscription: Subscription };
  /** Said before the next record of that partition; once more if the connection is lost before that came. */
  lost: Lost & { subscription?: Subscription };
  /** It is read from the store until it has caught up. */
  lagging: { behind: number; subscription?: Subscription };
  caught_up: { subscription?: Subscription };
  /** The topic was deleted, or the right to read it withdrawn: nothing more comes. */
  unsubscribed: { problem: Problem; error: TidegateError; subscription?: Subscription };
  /** It was refused, or the client was sent away: nothing more comes. */
  error: { problem?: Problem; error: Error; subscription?: Subscription };
}

export type State = "connecting" | "open" | "waiting" | "offline" | "closed";

/** What the gateway says first. */
export interface Hello {
  version: string;
  server?: string;
  connection: string | null;
  heartbeat_ms: number;
  limits: { [name: string]: number };
  [member: string]: unknown;
}

/** Those of all subscriptions, and: */
export interface ClientEvents extends Omit<SubscriptionEvents, "subscribed"> {
  /** `waiting` and `offline` say for how long (milliseconds) and why. */
  state: { state: State; attempt?: number; delay?: number; error?: Error; hello?: Hello };
}

/** Records in order: iterate over it, once, or be called. */
export interface Subscription extends AsyncIterableIterator<TidegateRecord> {
  /** Stands after the last record taken. Undefined before `subscribed`, unless it began with a cursor. */
  readonly cursor: string | undefined;
  close(): void;
  on<E extends keyof SubscriptionEvents>(event: E, fn: (detail: SubscriptionEvents[E]) => void): () => void;
}

export interface Client {
  readonly state: State;
  readonly hello?: Hello;
  subscribe(options: SubscribeOptions): Subscription;
  /** The next record waits for what `onRecord` answers, if that is a promise. */
  subscribe(options: SubscribeOptions, onRecord: (record: TidegateRecord, subscription: Subscription) => unknown): Subscription;
  /**
   * All records or none. What was not sent yet waits for a connection. What was sent when the connection was lost
   * is sent again only with a key; without one it is rejected as `mayHaveHappened`.
   */
  publish(topic: string, records: NewRecord | NewRecord[], options?: PublishOptions): Promise<Place[]>;
  close(): void;
  on<E extends keyof ClientEvents>(event: E, fn: (detail: ClientEvents[E]) => void): () => void;
}

export interface PublishOptions {
  /** 1 to 255 printable ASCII characters: the gateway does once what it is sent twice with one key. */
  idempotencyKey?: string;
  /** Gives up waiting. */
  signal?: AbortSignal;
}

export interface ConnectOptions {
  /** A token, or what fetches one: called before each connection and before the last one expires. */
  token?: string | (() => string | undefined | Promise<string | undefined>);
  /** Where the platform has none: Node before 22. */
  WebSocket?: unknown;
  /** Milliseconds: each wait is random, up to `base` doubled with each failure, at most `cap`. */
  backoff?: { base?: number; cap?: number };
  /** How many publishes may be unanswered; 1000 if not said. */
  maxPending?: number;
}

/** `url`: the gateway's base, as `https://gateway.example`, or `/` on a page that it serves. */
export function connect(url: string | URL, options?: ConnectOptions): Client;

/** The positions in a cursor: by topic its incarnation, and by partition `[epoch, next offset]`. */
export type Positions = Map<string, { incarnation: Uint8Array; at: Map<number, [number, number]> }>;
export function decodeCursor(text: string): Positions;
export function encodeCursor(positions: Positions): string;
