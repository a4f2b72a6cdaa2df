// What tests/browser/run asks of the live page: that earthquakes arrive on the map and in the list, that
// the positions move, and that a cut, a pause, a replay and a gateway that goes and comes back lose nothing.
"use strict";

const path = require("node:path");

const WIDTHS = [360, 390, 768, 1440];
// Rows that the list may have, and elements on the whole page.
const ROWS = 80;
const ELEMENTS = 1_500;

function need(holds, what) {
  if (!holds) throw new Error(what);
}

/** The account must see what it is there for: else "nothing missed" would mean nothing. */
async function accountIsHonest(root) {
  const { Ledger } = await import(path.join(root, "static/live/ledger.js"));
  const ledger = new Ledger();
  const take = (partition, offset) => ledger.take({ partition, offset, epoch: 0, key: "k" });
  need(take(0, 5) && take(0, 6) && take(1, 0), "new records are not taken as new");
  need(!take(0, 6) && ledger.total().repeated === 1, "a record that comes twice is not noticed");
  need(take(0, 9) && ledger.total().missed === 2, "a hole is not noticed");
  ledger.gone({ partition: 1, reason: "retention", from: 1, to: 10 });
  need(take(1, 11) && ledger.total().missed === 2 && ledger.total().lost === 10, "what retention took counts as missed");
  ledger.gone({ partition: 0, reason: "truncated", from: 8, to: 9 });
  need(take(0, 8) && take(0, 9) && ledger.total().repeated === 1, "an offset given anew counts as a repeat");
  need(ledger.places().get(0) === 10, "the place is not after the last record");
}

/** What the page says of itself. */
function seen(page) {
  return page.evaluate(() => {
    const text = (id) => document.getElementById(id).textContent;
    const number = (said) => (/\d/.test(said) ? Number(said.replace(/,/g, "")) : null);
    const canvas = document.getElementById("map");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let dots = 0;
    for (let i = 0; i < data.length; i += 4) {
      const [least, most] = [Math.min(data[i], data[i + 1], data[i + 2]), Math.max(data[i], data[i + 1], data[i + 2])];
      if (most - least > 70) dots += 1;
    }
    const rows = [...document.querySelectorAll("#positions tr")].map((row) => {
      const [partition, epoch, next, behind, received] = [...row.cells].map((cell) => number(cell.textContent));
      return { partition, epoch, next, behind, received };
    });
    return {
      state: document.getElementById("state").dataset.state,
      received: number(text("received")),
      behind: number(text("behind")),
      proof: text("proof"),
      story: text("story-title"),
      told: text("story-text"),
      listed: document.querySelectorAll("#list li").length,
      elements: document.querySelectorAll("*").length,
      dots,
      rows,
    };
  });
}

/** Waits until what is seen `holds`; answers it. */
async function until(page, holds, what, patience = 30_000) {
  const end = Date.now() + patience;
  for (;;) {
    const now = await seen(page);
    if (holds(now)) return now;
    if (Date.now() > end) throw new Error(`${what}: ${JSON.stringify(now)}`);
    await page.waitForTimeout(100);
  }
}

const sum = (rows, what) => rows.reduce((total, row) => total + row[what], 0);

/** Every offset from the first on came once, by the page's account and by the gateway's. */
async function isWhole(page, url, now) {
  for (const row of now.rows) need(row.received === row.next, `partition ${row.partition}: ${row.received} received, next is ${row.next}`);
  need(now.received === sum(now.rows, "received"), `${now.received} in all`);
  need(/^0 missed, 0 twice$/.test(now.proof), now.proof);
  const topic = await (await page.request.get(`${url}/v1/topics/earthquakes`)).json();
  for (const { partition, tail, epoch } of topic.partition_list) {
    const row = now.rows.find((found) => found.partition === partition);
    need(row && row.next <= tail && row.epoch === epoch, `partition ${partition}: ${JSON.stringify(row)}, but it ends at ${tail}`);
  }
}

async function arrives(page, url) {
  await page.goto(url);
  const first = await until(page, (now) => now.state === "live" && now.received > 5 && now.listed > 5 && now.dots > 50, "nothing arrives");
  need(first.listed <= ROWS, `${first.listed} rows`);
  const later = await until(page, (now) => sum(now.rows, "next") > sum(first.rows, "next") + 10, "the positions stand still");
  need(later.dots > first.dots / 2, "the map is empty again");
  await isWhole(page, url, later);
}

async function cutAndResumed(page, url) {
  const before = await seen(page);
  await page.locator("#cut").focus();
  await page.keyboard.press("Enter");
  const away = await until(page, (now) => now.state === "cut" && now.behind >= 8, "the log does not go on without the page");
  need(away.received <= before.received + 60, "records come over a cut connection");
  const still = await seen(page);
  need(still.received === away.received, "records come over a cut connection");
  need(away.told.includes("published since"), away.told);
  const back = await until(page, (now) => now.state === "live" && /nothing missed, nothing twice/.test(now.story), "it does not resume");
  need(/^Went on from p0 at \d+/.test(back.told) && back.told.includes("all are here"), back.told);
  need(back.received >= still.received + 8, "what came meanwhile is not there");
  await isWhole(page, url, back);
  // Once more, not waiting for the end of it.
  await page.click("#cut");
  await until(page, (now) => now.state === "cut", "it is not cut");
  await page.click("#cut");
  await until(page, (now) => now.state === "live", "it does not come back when told to", 5_000);
}

async function pausedAndBack(page, url) {
  await page.click("#pause");
  const paused = await until(page, (now) => now.state === "paused" && now.behind >= 8, "it does not fall behind");
  need((await seen(page)).received === paused.received, "records come while it is paused");
  await page.click("#pause");
  const back = await until(page, (now) => now.state === "live" && now.received >= paused.received + 8, "it does not go on");
  await isWhole(page, url, back);
}

async function replayed(page, url) {
  const before = await seen(page);
  await page.click("#replay");
  const after = await until(page, (now) => now.state === "live" && now.received >= before.received && now.story.startsWith("Replayed"), "no replay");
  await isWhole(page, url, after);
}

/** A week at once: the page stays small, and shows the strongest of all. */
async function aWeekAtOnce(page, url) {
  await page.goto(url);
  await until(page, (now) => now.state === "live" && now.received > 700, "the end of the week does not come");
  await page.click("#replay");
  const all = await until(page, (now) => now.received === 1_707 && now.dots > 500, "not all is replayed");
  await isWhole(page, url, all);
  const strongest = page.locator("#strongest");
  await strongest.getByText("6.4").waitFor();
  const settled = await seen(page);
  need(settled.listed <= ROWS && settled.elements < ELEMENTS, `${settled.listed} rows, ${settled.elements} elements`);
  await page.click("[data-view=america]");
  await until(page, (now) => now.dots > 500, "North America is empty");
}

/** No topic yet: the page says what to do, and begins by itself when that is done. */
async function beginsByItself(page, url) {
  await page.goto(url);
  await page.locator("#notice").getByText("tidegate demo").waitFor();
  const lines = await page.locator("#notice").innerText();
  need(lines.includes(`${new URL(url).host}/v1/topics/earthquakes`), "the lines to try do not name this gateway");
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    need(wider <= 0, `${wider} pixels wider than a window of ${width}`);
  }
  await page.request.put(`${url}/v1/topics/earthquakes`, { data: { partitions: 4 } });
  const value = { mag: 6.1, place: "<b>Near</b> the middle of the Pacific", longitude: -150, latitude: 8, depth_km: 12 };
  await page.request.post(`${url}/v1/topics/earthquakes/records`, { data: { records: [{ key: "me", value }] } });
  await until(page, (now) => now.state === "live" && now.received === 1 && now.dots > 50, "it does not begin");
  need(await page.locator("#notice").isHidden(), "the notice stays");
  const where = await page.locator("#list .where").first().textContent();
  need(where === value.place, `markup in a record becomes "${where}"`);
}

/** Any other topic, whatever its records hold. */
async function anyTopic(page, url) {
  const odd = [{ text: "plain" }, { value: null }, { value: [1] }, { value: { longitude: "x", latitude: 1 } }, { value_base64: "AAE=" }, { value: { mag: 2, longitude: 1e9, latitude: 7 } }];
  await page.request.put(`${url}/v1/topics/odd`, { data: { partitions: 1 } });
  await page.request.post(`${url}/v1/topics/odd/records`, { data: { records: odd } });
  await page.goto(`${url}/?topic=odd`);
  const now = await until(page, (now) => now.received === odd.length && now.listed === odd.length, "not all are listed");
  need(now.dots === 0, "what is nowhere is on the map");
}

/** A name that no topic can have: the gateway's own words. */
async function saysWhatIsRefused(page, url) {
  await page.goto(`${url}/?topic=not%20a%20name`);
  await page.locator("#notice").getByText("parameter_invalid").waitFor();
  need((await seen(page)).state === "closed", "it does not say that it was refused");
}

/** A topic that is deleted and made again is another, and the page begins with it anew. */
async function topicMadeAgain(page, url) {
  await page.goto(`${url}/?topic=odd`);
  await until(page, (now) => now.received > 0, "nothing arrives");
  await page.request.delete(`${url}/v1/topics/odd`);
  await page.locator("#notice").getByText("no topic “odd”").waitFor();
  await page.request.put(`${url}/v1/topics/odd`, { data: { partitions: 1 } });
  await page.request.post(`${url}/v1/topics/odd/records`, { data: { records: [{ text: "again" }] } });
  await page.locator("#list").getByText("again").waitFor();
}

/** The gateway goes and comes back on the same address: the page finds its place. */
async function outlivesTheGateway(page, data, gateway, stop) {
  let { child, url } = await gateway(["serve", "--listen", "127.0.0.1:0", "--data-dir", data]);
  try {
    await page.request.put(`${url}/v1/topics/earthquakes`, { data: { partitions: 4 } });
    const publish = async (count) => {
      const records = Array.from({ length: count }, (_, i) => ({ key: `k${i}`, value: { mag: 3, longitude: i, latitude: i } }));
      await page.request.post(`${url}/v1/topics/earthquakes/records`, { data: { records } });
    };
    await publish(40);
    await page.goto(url);
    await until(page, (now) => now.received === 40, "nothing arrives");
    await stop(child);
    await until(page, (now) => now.state === "away", "it does not notice");
    await page.locator("#notice").getByText("does not answer").waitFor();
    ({ child } = await gateway(["serve", "--listen", new URL(url).host, "--data-dir", data]));
    await publish(25);
    const back = await until(page, (now) => now.state === "live" && now.received === 65, "it does not come back");
    need(await page.locator("#notice").isHidden(), "the notice stays");
    await isWhole(page, url, back);
    await until(page, (now) => /nothing missed, nothing twice/.test(now.story), "it does not tell of it");
    // Another store there has another topic of that name.
    await stop(child);
    ({ child } = await gateway(["serve", "--listen", new URL(url).host, "--engine", "memory"]));
    await page.request.put(`${url}/v1/topics/earthquakes`, { data: { partitions: 4 } });
    await publish(7);
    await until(page, (now) => now.state === "live" && now.received === 7, "it does not begin anew", 60_000);
  } finally {
    await stop(child);
  }
}

/** Without motion, by keyboard, and with a name for everything. */
async function forEveryone(page, url) {
  await page.emulateMedia({ reducedMotion: "reduce" });
  await page.goto(url);
  await until(page, (now) => now.listed > 0 && now.dots > 50, "nothing is drawn without motion");
  await page.keyboard.press("Tab");
  need((await page.evaluate(() => document.activeElement.className)) === "skip", "the first key does not skip to the content");
  await page.keyboard.press("Enter");
  const nameless = await page.evaluate(() => [...document.querySelectorAll("button, a, canvas, [tabindex='0']")].filter((element) => !(element.textContent.trim() || element.ariaLabel)).length);
  need(nameless === 0, `${nameless} things without a name`);
  need((await page.locator("[role=status]").count()) === 1, "nothing speaks");
  await page.emulateMedia({ reducedMotion: null });
}

/** With all that may stand on it, no wider than the window, light or dark. */
async function fitsWhileLive(page, url, picture) {
  for (const width of WIDTHS) {
    for (const colorScheme of ["light", "dark"]) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      await page.goto(url);
      await until(page, (now) => now.listed > 5 && now.rows.length === 4 && now.dots > 20, "nothing to see");
      await picture(page, `live-${width}-${colorScheme}`);
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      need(wider <= 0, `${wider} pixels wider than a window of ${width}, ${colorScheme}`);
    }
  }
  await page.setViewportSize({ width: 1440, height: 900 });
}

/** All of it; `test` counts, `gateway` and `stop` start and stop one, `watch` makes a page that may not complain. */
async function livePage({ root, work, test, gateway, stop, watch, browser, picture }) {
  await test("the live page's account sees what is missed", () => accountIsHonest(root));
  const page = await watch();
  await page.setViewportSize({ width: 1440, height: 900 });
  // Where something is gone the browser complains, rightly.
  const other = await browser.newPage();
  const empty = await gateway(["serve", "--listen", "127.0.0.1:0", "--data-dir", path.join(work, "empty")]);
  try {
    await test("without a topic the live page says what to do", () => beginsByItself(page, empty.url));
    await page.setViewportSize({ width: 1440, height: 900 });
    await test("the live page shows any topic", () => anyTopic(page, empty.url));
    await test("the live page says what is refused", () => saysWhatIsRefused(other, empty.url));
    await test("the live page goes over to a topic made again", () => topicMadeAgain(other, empty.url));
  } finally {
    await Promise.all([page.goto("about:blank"), other.goto("about:blank")]);
    await stop(empty.child);
  }
  const demo = ["demo", "--listen", "127.0.0.1:0", "--engine", "memory"];
  const live = await gateway([...demo, "--speed", "7200"]);
  try {
    await test("earthquakes arrive on the map and in the list", () => arrives(page, live.url));
    await test("a cut connection resumes where it was", () => cutAndResumed(page, live.url));
    await test("a pause loses nothing", () => pausedAndBack(page, live.url));
    await test("a replay begins with the first offset", () => replayed(page, live.url));
    await test("the live page fits while it is live", () => fitsWhileLive(page, live.url, picture));
    await test("the live page is for everyone", () => forEveryone(page, live.url));
  } finally {
    await page.goto("about:blank");
    await stop(live.child);
  }
  const whole = await gateway([...demo, "--speed", "0"]);
  try {
    await test("a week at once leaves the page small", () => aWeekAtOnce(page, whole.url));
  } finally {
    await page.goto("about:blank");
    await stop(whole.child);
  }
  await page.close();
  await test("the live page outlives the gateway", () => outlivesTheGateway(other, path.join(work, "gone"), gateway, stop));
  await other.close();
}

module.exports = { livePage };
