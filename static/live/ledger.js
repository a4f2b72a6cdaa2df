// The account of what arrived: for each partition the offsets from the first to the next, and
// whether each came once. The embedded engine numbers records without holes, so a hole is a record
// that was missed.

// Keys that are remembered of a partition.
const KEYS = 12;

class Partition {
  first = null;
  next = null;
  epoch = 0;
  received = 0;
  repeated = 0;
  missed = 0;
  // Taken away by retention or a crash, as the gateway said.
  lost = 0;
  keys = new Set();

  /** Whether the record is new; counts it either way. */
  take(epoch, offset, key) {
    this.first ??= offset;
    this.next ??= offset;
    if (offset < this.next) {
      this.repeated += 1;
      return false;
    }
    this.missed += offset - this.next;
    this.next = offset + 1;
    this.epoch = epoch;
    this.received += 1;
    if (this.keys.size < KEYS && key) this.keys.add(key);
    return true;
  }

  /** The gateway said that `from` to `to` are gone, and where it goes on. */
  gone(reason, from, to) {
    if (reason === "truncated") {
      // What came of them is void: their offsets are given anew, in another epoch.
      this.lost += Math.max(1, to - from + 1);
      if (this.next !== null && from < this.next) {
        this.received -= Math.min(this.received, this.next - from);
        this.next = from;
        this.first = Math.min(this.first, from);
      }
      return;
    }
    if (this.next === null) this.first = this.next = to + 1;
    else if (to + 1 > this.next) {
      this.lost += to + 1 - this.next;
      this.next = to + 1;
    }
  }
}

export class Ledger {
  #partitions = new Map();

  /** Counts a record; whether it is one that had not come before. */
  take(event) {
    return this.#of(event.partition).take(event.epoch, event.offset, event.key);
  }

  gone({ partition, reason, from, to }) {
    this.#of(partition).gone(reason, from, to);
  }

  /** `[number, account]` of each partition, in order. */
  partitions() {
    return [...this.#partitions].sort(([a], [b]) => a - b);
  }

  /** All partitions together. */
  total() {
    const sum = { received: 0, repeated: 0, missed: 0, lost: 0 };
    for (const partition of this.#partitions.values()) {
      for (const what of Object.keys(sum)) sum[what] += partition[what];
    }
    return sum;
  }

  /** The next offset of each partition, as they stand now. */
  places() {
    return new Map(this.partitions().map(([number, { next }]) => [number, next]));
  }

  #of(number) {
    if (!this.#partitions.has(number)) this.#partitions.set(number, new Partition());
    return this.#partitions.get(number);
  }
}
