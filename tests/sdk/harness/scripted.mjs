// A WebSocket whose server is the test: for what a gateway cannot be brought to do at will, such as each close
// code, silence, and an order of frames.

export class Scripted {
  /** Those made so far, oldest first. */
  static made = [];

  constructor(url, protocols) {
    Object.assign(this, { url, protocols, sent: [], shut: false });
    Scripted.made.push(this);
  }

  static get last() {
    return Scripted.made.at(-1);
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.shut = true;
  }

  /** The server says these. */
  says(...frames) {
    for (const frame of frames) this.onmessage?.({ data: frame instanceof ArrayBuffer ? frame : JSON.stringify(frame) });
  }

  /** The server closes. */
  ends(code, reason = "") {
    this.onclose?.({ code, reason });
  }

  hello(more) {
    this.says({ op: "hello", version: "tidegate.v1", connection: "c", heartbeat_ms: 25_000, limits: {}, ...more });
  }

  /** What was sent with this `op`. */
  asked(op) {
    return this.sent.filter((frame) => frame.op === op);
  }
}
