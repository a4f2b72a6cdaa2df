// A real Chromium, driven over its DevTools protocol: pages that evaluate, go back and forth, freeze and go offline.
// A driver for tests of pages would keep them out of the back/forward cache, which is one of the things to test.

import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { WebSocket, within } from "./client.mjs";
import { kill, start } from "./gateway.mjs";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--remote-debugging-port=0",
];

function program() {
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const places = (process.env.PATH || "").split(":").filter(Boolean);
  const found = names.flatMap((name) => places.map((place) => path.join(place, name)));
  return process.env.CHROMIUM || found.find((file) => fs.existsSync(file));
}

export class Chromium {
  #child;
  #socket;
  #ids = 0;
  #calls = new Map();

  static async start() {
    const browser = new Chromium();
    browser.home = fs.mkdtempSync(path.join(os.tmpdir(), "tidegate-chromium-"));
    await browser.run();
    return browser;
  }

  /** Starts it over the same profile. */
  async run() {
    const args = [...FLAGS, `--user-data-dir=${path.join(this.home, "profile")}`, "about:blank"];
    const child = (this.#child = start(program(), args, { detached: true, env: { ...process.env, HOME: this.home } }));
    const address = await within(
      new Promise((resolve, reject) => {
        let said = "";
        child.on("error", reject);
        child.on("exit", (code) => reject(new Error(`Chromium ended with ${code}: ${said}`)));
        child.stderr.on("data", (text) => {
          said += text;
          const at = /DevTools listening on (ws:\S+)/.exec(said);
          if (at) resolve(at[1]);
        });
      }),
      "Chromium",
    );
    this.#socket = new WebSocket(address);
    await new Promise((resolve, reject) => {
      this.#socket.onopen = resolve;
      this.#socket.onerror = reject;
    });
    this.#socket.onmessage = ({ data }) => {
      const { id, result, error } = JSON.parse(data);
      const call = this.#calls.get(id);
      this.#calls.delete(id);
      if (error) call?.reject(new Error(error.message));
      else call?.resolve(result);
    };
  }

  call(method, params = {}, sessionId = undefined) {
    const id = ++this.#ids;
    const answer = new Promise((resolve, reject) => this.#calls.set(id, { resolve, reject }));
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    return within(answer, method);
  }

  /** A page of its own, at `url`. */
  async open(url) {
    const { targetId } = await this.call("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.call("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, targetId, sessionId);
    await page.call("Page.enable");
    await page.call("Network.enable");
    await page.goto(url);
    return page;
  }

  /** Ends it as a crash of the machine would, the profile staying. */
  async end() {
    const child = this.#child;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    kill(child);
    await gone;
    // Its other processes write to the profile too, and may end a little later.
    const late = Date.now() + 2_000;
    while (kill(child) && Date.now() < late) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  async stop() {
    await this.end();
    await fs.promises.rm(this.home, { recursive: true, force: true, maxRetries: 10 });
  }
}

export class Page {
  #browser;
  #session;

  constructor(browser, target, session) {
    this.#browser = browser;
    this.target = target;
    this.#session = session;
  }

  call(method, params) {
    return this.#browser.call(method, params, this.#session);
  }

  async goto(url) {
    await this.call("Page.navigate", { url });
    await this.until((url) => location.href === url && document.readyState === "complete", url);
  }

  /** What `fn` answers in the page. Its arguments and its answer are JSON. */
  async run(fn, ...args) {
    const expression = `(${fn})(...${JSON.stringify(args)})`;
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  }

  /** Waits until `fn` is true in the page, whatever happens to the page meanwhile. */
  async until(fn, ...args) {
    const late = Date.now() + 30_000;
    let seen;
    while (Date.now() < late) {
      seen = await this.run(fn, ...args).catch((error) => ((seen = error), false));
      if (seen === true) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`not true in time: ${fn}; last: ${seen}`);
  }

  offline(offline) {
    return this.call("Network.emulateNetworkConditions", { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  }

  close() {
    return this.#browser.call("Target.closeTarget", { targetId: this.target });
  }
}
