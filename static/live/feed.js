// The page's one connection: Tidegate's own client, over a WebSocket that the reader may cut.

import { connect, decodeCursor } from "/sdk/tidegate.js";

const BACKOFF = { base: 400, cap: 5_000 };

/** A kind of WebSocket whose sockets all can be cut, and stay cut until `mend` is called. */
function cuttable() {
  const open = new Set();
  let cut = false;
  class Line {
    #native = null;

    constructor(url, protocols) {
      open.add(this);
      if (cut) {
        setTimeout(() => this.#gone());
        return;
      }
      this.#native = new WebSocket(url, protocols);
      this.#native.onmessage = (message) => this.onmessage?.(message);
      this.#native.onclose = (close) => this.onclose?.(close);
    }

    set binaryType(type) {
      if (this.#native) this.#native.binaryType = type;
    }

    send(text) {
      if (this.#native?.readyState === WebSocket.OPEN) this.#native.send(text);
    }

    close() {
      open.delete(this);
      if (!this.#native) return;
      this.#native.onmessage = this.#native.onclose = null;
      this.#native.close();
    }

    /** Without a word to the client: it finds the socket closed, as after a lost network. */
    break() {
      this.close();
      this.#gone();
    }

    #gone() {
      this.onclose?.({ code: 1006, reason: "" });
    }
  }
  return {
    Line,
    cut() {
      cut = true;
      for (const line of [...open]) line.break();
    },
    mend() {
      cut = false;
      // The client looks at once when the network is said to be back.
      globalThis.dispatchEvent(new Event("online"));
    },
  };
}

export class Feed {
  #topic;
  #events;
  #line = cuttable();
  #client = null;
  #subscription = null;
  #held = null;
  #release = null;

  /** `events`: what to call with each record, state, loss and refusal. */
  constructor(topic, events) {
    this.#topic = topic;
    this.#events = events;
  }

  /** `connecting`, `open`, `waiting`, `offline` or `closed`. */
  get state() {
    return this.#client?.state ?? "closed";
  }

  /** The cursor after the last record that was taken. */
  get cursor() {
    return this.#subscription?.cursor;
  }

  /** `[epoch, next]` of each partition, as the cursor has it. */
  get positions() {
    const { cursor } = this;
    return cursor ? (decodeCursor(cursor).get(this.#topic)?.at ?? new Map()) : new Map();
  }

  /** Reads the topic from a place on, on the connection that stands or on a new one. */
  read(from) {
    this.#subscription?.close();
    if (this.state === "closed") {
      this.#client = connect("/", { WebSocket: this.#line.Line, backoff: BACKOFF });
      this.#client.on("state", (detail) => this.#events.state(detail));
    }
    const subscription = this.#client.subscribe({ topic: this.#topic, from }, (record) => {
      this.#events.record(record);
      return this.#held;
    });
    this.#subscription = subscription;
    const current = (tell) => (detail) => subscription === this.#subscription && tell(detail);
    subscription.on("subscribed", current(() => this.#events.subscribed()));
    subscription.on("lost", current((detail) => this.#events.lost(detail)));
    for (const refused of ["error", "unsubscribed"]) {
      subscription.on(refused, current(({ error, problem }) => this.#events.refused(problem ?? { detail: error.message })));
    }
  }

  /** Takes no further record until `resume`: the gateway waits for this reader, and for it alone. */
  pause() {
    this.#held ??= new Promise((resolve) => (this.#release = resolve));
  }

  resume() {
    this.#release?.();
    this.#held = this.#release = null;
  }

  cut() {
    this.#line.cut();
  }

  mend() {
    this.#line.mend();
  }
}
