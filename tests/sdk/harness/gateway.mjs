// A gateway as a child process that can be killed and started again at the same address, and the few calls the
// tests make of it over REST.

import { spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../../..");
const BINARY = process.env.TIDEGATE_BIN || path.join(ROOT, "target/release/tidegate");
const START_MS = 60_000;

/** What must not outlive this process, whatever ends it. */
const running = new Set();
process.on("exit", () => running.forEach(kill));
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(1));

/** Ends a program at once, and where it leads a group of processes, the group. Answers whether any of them was there. */
export function kill(child) {
  try {
    return process.kill(child.leads ? -child.pid : child.pid, "SIGKILL");
  } catch (error) {
    if (error.code === "ESRCH") return false;
    throw error;
  }
}

/** Starts a program that ends with this process at the latest; `detached`, it leads a group of processes. */
export function start(program, args, options) {
  const child = spawn(program, args, options);
  child.leads = Boolean(options?.detached);
  running.add(child);
  child.on("exit", () => running.delete(child));
  return child;
}

/** A port that no client's end can take while the gateway is down: below those that Linux gives out by itself. */
async function freePort() {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const server = net.createServer();
    const free = await new Promise((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    await new Promise((resolve) => server.close(resolve));
    if (free) return port;
  }
}

export class Gateway {
  #child;
  #arguments;

  static async start(...extra) {
    const gateway = new Gateway();
    gateway.work = fs.mkdtempSync(path.join(os.tmpdir(), "tidegate-sdk-"));
    gateway.port = await freePort();
    gateway.url = `http://127.0.0.1:${gateway.port}`;
    const data = path.join(gateway.work, "data");
    gateway.#arguments = ["serve", "--listen", `127.0.0.1:${gateway.port}`, "--data-dir", data, ...extra];
    await gateway.run();
    return gateway;
  }

  /** Starts the process, and waits until it listens. */
  run() {
    const child = (this.#child = start(BINARY, this.#arguments));
    const log = [];
    child.stderr.on("data", (text) => log.push(String(text)) > 200 && log.shift());
    return new Promise((resolve, reject) => {
      let said = "";
      const late = setTimeout(() => reject(new Error("the gateway did not start")), START_MS);
      child.on("error", reject);
      child.on("exit", (code) => reject(new Error(`the gateway ended with ${code}\n${log.join("")}`)));
      child.stdout.on("data", (text) => {
        said += text;
        if (!/listening on http:/.test(said)) return;
        clearTimeout(late);
        resolve();
      });
    });
  }

  /** Ends the process by a signal, and waits until it is gone. */
  end(signal) {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    return gone;
  }

  async restart(signal = "SIGKILL") {
    await this.end(signal);
    await this.run();
  }

  async stop() {
    await this.end("SIGKILL");
    fs.rmSync(this.work, { recursive: true, force: true });
  }

  async call(method, where, body, headers = {}) {
    const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json", ...headers } };
    const answer = await fetch(this.url + where, { method, headers, ...sent });
    const parsed = answer.status === 204 ? undefined : await answer.json();
    if (!answer.ok) throw Object.assign(new Error(`${method} ${where}: ${answer.status} ${JSON.stringify(parsed)}`), parsed);
    return parsed;
  }

  topic(name, settings = {}) {
    return this.call("PUT", `/v1/topics/${name}`, { partitions: 1, ...settings });
  }

  async publish(topic, records, headers) {
    return (await this.call("POST", `/v1/topics/${topic}/records`, { records }, headers)).records;
  }

  /** All records of a topic as REST reads them, by partition. */
  async records(topic) {
    const found = new Map();
    let where = "from=earliest";
    for (;;) {
      const page = await this.call("GET", `/v1/topics/${topic}/records?limit=5000&${where}`);
      for (const record of page.records) {
        if (!found.has(record.partition)) found.set(record.partition, []);
        found.get(record.partition).push(record);
      }
      if (page.at_tail) return found;
      where = `cursor=${page.cursor}`;
    }
  }
}
