// A TCP proxy in front of a gateway, which does what networks do to connections: cuts them, lets them go silent
// without a word, refuses upgrades, and holds back streams. It also has a page of its own, for browsers to be on.

import net from "node:net";

const HTML = '<!doctype html><html lang="en"><meta charset="utf-8"><title>test</title><link rel="icon" href="data:,"><p>test</p>';
const PAGE = `HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: ${HTML.length}\r\nconnection: close\r\n\r\n${HTML}`;

export class Proxy {
  #server;
  #pairs = new Set();
  /** Connections that were opened through it. */
  opened = 0;
  /** Nothing passes any more, in either direction, on connections that are open; and new ones hang. */
  frozen = false;
  /** Requests to upgrade are answered 403. */
  noUpgrades = false;
  /** Answers that are event streams are held back for ever, as by a proxy that buffers. */
  noStreams = false;
  /** New connections are refused. */
  closed = false;

  static async to(port) {
    const proxy = new Proxy();
    proxy.#server = net.createServer((client) => proxy.#connected(client, port));
    await new Promise((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    proxy.port = proxy.#server.address().port;
    proxy.url = `http://127.0.0.1:${proxy.port}`;
    return proxy;
  }

  #connected(client, port) {
    client.on("error", () => client.destroy());
    if (this.closed) return client.destroy();
    this.opened++;
    const server = net.connect(port, "127.0.0.1");
    const pair = { client, server };
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    // Silence includes the end: a frozen connection does not say that it is over.
    for (const [from, to] of [[client, server], [server, client]]) {
      from.on("error", () => this.frozen || end());
      from.on("close", () => this.frozen || end());
      from.on("data", (data) => this.#pass(pair, from, to, data, end));
    }
  }

  #pass(pair, from, to, data, end) {
    if (this.frozen) return;
    const text = data.toString("latin1");
    if (from === pair.client && text.startsWith("GET /page")) return void from.end(PAGE);
    if (from === pair.client && this.noUpgrades && /^upgrade: *websocket/im.test(text)) {
      from.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
      return void setImmediate(end);
    }
    if (from === pair.server && this.noStreams && /^content-type: *text\/event-stream/im.test(text)) pair.held = true;
    if (pair.held && from === pair.server) return;
    if (!to.write(data)) {
      from.pause();
      to.once("drain", () => from.resume());
    }
  }

  /** Ends all connections at once, as they stand. */
  cut() {
    for (const { client, server } of this.#pairs) {
      client.destroy();
      server.destroy();
    }
    this.#pairs.clear();
  }

  stop() {
    this.cut();
    return new Promise((resolve) => this.#server.close(resolve));
  }
}
