import { Lost, Problem, TidegateError, TidegateRecord } from "./tidegate.js";

export { connect, TidegateError } from "./tidegate.js";

declare module "./tidegate.js" {
  interface Client {
    /** A member of a group, which shares the work on some topics with the group's others. */
    group(name: string, options: GroupOptions): Group;
  }
}

export interface GroupOptions {
  topic?: string;
  topics?: string | string[];
  /** Where the group begins in a partition that it has committed nothing of: `earliest` if not said. */
  from?: "earliest" | "latest" | "none";
  /** Who this member is, also after a restart; one is made if not said. No two may be one at a time. */
  memberId?: string;
  /** Milliseconds for which what it holds is kept when its connection is lost; 45000 if not said. */
  sessionTimeout?: number;
  /** How many records may be on their way or waiting to be worked on; 500 if not said. */
  credit?: number;
  /** `deflate` has batches compressed. A platform that cannot open them gets `json`. */
  encoding?: "json" | "deflate";
  /** After how many records to commit; 100 if not said. */
  commitEvery?: number;
  /** Milliseconds after which to commit in any case; 1000 if not said. */
  commitInterval?: number;
}

/** Partitions by topic. */
export type Partitions = { [topic: string]: number[] };

export interface GroupEvents {
  /** It is a member, or is one again on a new connection. */
  joined: { memberId: string; generation: number };
  /** All that it holds from now on. */
  assigned: { partitions: Partitions; generation: number };
  /** Of these nothing more is worked on but what is in hand; they are let go of once that is committed. */
  revoking: { partitions: Partitions; generation: number; graceMs: number };
  /** These are not its any more. */
  revoked: { partitions: Partitions; generation: number };
  /** It is durable that the group has come so far. */
  committed: { commits: { topic: string; partition: number; epoch: number; offset: number }[] };
  /** Said before the next record of that partition. */
  lost: Lost;
  lagging: { behind: number };
  caught_up: {};
  /** It was silent for longer than its session: it joins again by itself. */
  expired: { error: TidegateError };
  /** A commit was refused: as `fenced`, another has the partition by now and works on those records again. */
  error: { error: TidegateError; problem?: Problem };
  /** It is over, by `close()` or by the `error` that `run()` is rejected with. */
  left: { error: unknown };
}

export interface Group {
  readonly name: string;
  /** Known once it has joined. */
  readonly memberId: string | undefined;
  /**
   * Joins, and calls `work` for each record, one after the other; a promise is waited for. What it was called for
   * without failing is committed. Resolves after `close()`; rejects with what `work` throws, after committing what
   * came before that, and with what the gateway refuses. Once for each group.
   */
  run(work: (record: TidegateRecord, group: Group) => unknown): Promise<void>;
  /** Finishes what is in hand, commits, and leaves: what it held goes to others at once. */
  close(): Promise<void>;
  on<E extends keyof GroupEvents>(event: E, fn: (detail: GroupEvents[E]) => void): () => void;
}
