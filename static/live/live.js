// The live page: one reader of one topic, and all that can be seen of it.

import { eventOf } from "./event.js";
import { Feed } from "./feed.js";
import { Ledger } from "./ledger.js";
import { showLines } from "./lines.js";
import { List } from "./list.js";
import { EarthMap } from "./map.js";
import { Notice } from "./notice.js";
import { Positions } from "./positions.js";
import { Rate } from "./rate.js";
import { Story } from "./story.js";
import { Tails } from "./tails.js";
import * as words from "./words.js";

const TOPIC = new URLSearchParams(location.search).get("topic") || "earthquakes";
// What a page that is opened late shows of what was before, of each partition.
const EARLIER = { last: 300 };
const CUT_MS = 6_000;
// Events that wait to be drawn: with so many the page takes no more until some are drawn.
const WAITING = 2_000;
// Milliseconds in which two thirds of what waits is drawn, and the least that is drawn in one.
const DRAWN_IN = 1_200;
const LEAST = 0.06;
// Refusals that say no more than that the topic is not the one that was read: another may come.
const OTHER_TOPIC = new Set(["topic_unknown", "cursor_topic_gone"]);
const LIST_EVERY = 200;
const FIGURES_EVERY = 250;
const SPEAK_EVERY = 20_000;

const by = (id) => document.getElementById(id);
const put = (id, text) => {
  const element = by(id);
  if (element.textContent !== text) element.textContent = text;
};
const still = matchMedia("(prefers-reduced-motion: reduce)");

const page = {
  ledger: new Ledger(),
  rate: new Rate(),
  waiting: [],
  listed: [],
  strongest: null,
  newest: 0,
  // `[wall clock, recorded time]` of the last seconds: how fast recorded time passes.
  passed: [],
  cutUntil: 0,
  retryAt: 0,
  drawnAt: 0,
  listedAt: 0,
  paused: false,
  reading: false,
  refusal: null,
  spoken: { at: performance.now(), received: 0 },
};

const map = new EarthMap(by("map"), by("tip"), still.matches, wantFrame);
const list = new List(by("list"), by("row"), by("list-empty"));
const positions = new Positions(by("positions"));
const notice = new Notice({ topic: TOPIC, origin: location.origin });
const story = new Story({ box: by("story"), title: by("story-title"), text: by("story-text"), log: by("log"), say });
const tails = new Tails(TOPIC, tailsChanged);
const feed = new Feed(TOPIC, { record: arrived, state: stateChanged, subscribed, lost, refused });

// What arrives

function arrived(record) {
  const event = eventOf(record);
  if (!page.ledger.take(event)) return;
  page.rate.add(1, Date.now());
  page.waiting.push(event);
  if (page.waiting.length >= WAITING) feed.pause();
  wantFrame();
}

function lost(notice) {
  page.ledger.gone(notice);
  story.note(Date.now(), `partition ${notice.partition}: ${words.count(notice.from)} to ${words.count(notice.to)} gone (${notice.reason})`);
}

function refused(problem) {
  page.reading = false;
  page.refusal = OTHER_TOPIC.has(problem.code) ? null : problem;
  if (!page.refusal) tails.status = "absent";
  showState();
}

function subscribed() {
  page.refusal = null;
  showState();
}

function begin(from) {
  page.reading = true;
  page.refusal = null;
  feed.read(from);
  showState();
}

/** After a refusal: from where it stood, if it stood anywhere. */
function again() {
  page.refusal = null;
  if (tails.status === "there") begin(feed.cursor ? { cursor: feed.cursor } : EARLIER);
  else tails.ask();
}

/** Forgets what was drawn and counted, and reads from another place. */
function beginAnew(from, why) {
  Object.assign(page, { ledger: new Ledger(), waiting: [], listed: [], strongest: null, newest: 0, passed: [] });
  page.spoken.received = 0;
  by("strongest").hidden = true;
  map.clear();
  list.clear();
  positions.clear();
  story.forget(Date.now(), why);
  if (page.paused) pause(false);
  feed.resume();
  begin(from);
  figures();
}

// The connection

function stateChanged({ state, delay }) {
  const now = Date.now();
  page.retryAt = state === "waiting" ? now + delay : 0;
  if (state === "waiting" || state === "offline") {
    const places = new Map([...feed.positions].map(([number, [, next]]) => [number, next]));
    story.left({ now, at: places, ledger: page.ledger, byHand: page.cutUntil > 0 });
  }
  if (state === "open") welcomedBack(now);
  showState();
}

async function welcomedBack(now) {
  const target = await tails.ask();
  if (target && feed.state === "open") story.returned({ now, target });
}

function cut() {
  if (page.cutUntil) return mend();
  page.cutUntil = Date.now() + CUT_MS;
  by("cut").textContent = "Connect again now";
  feed.cut();
  showState();
}

function mend() {
  page.cutUntil = 0;
  by("cut").textContent = "Cut the connection";
  feed.mend();
  showState();
}

function pause(on) {
  page.paused = on;
  by("pause").textContent = on ? "Go on" : "Pause";
  if (on) feed.pause();
  else feed.resume();
  story.note(Date.now(), on ? "reading paused" : "reading on");
  showState();
}

function tailsChanged(before) {
  if (tails.status === "absent" && before === "there") page.reading = false;
  if (tails.status === "refused" && !page.reading) page.refusal = tails.problem;
  if (tails.status === "there" && !page.reading && !page.refusal) {
    // Under the same name it is another topic, whose offsets begin anew.
    if (page.ledger.total().received) beginAnew("earliest", "The topic is another one now.");
    else begin(before === "absent" ? "earliest" : EARLIER);
  }
  showState();
}

/** How many records the log has beyond this reader; null when nobody knows. */
function behind() {
  if (tails.status !== "there" || !page.reading) return null;
  const at = feed.positions;
  return [...tails.partitions.values()].reduce((sum, { partition, tail }) => sum + Math.max(0, tail - (at.get(partition)?.[1] ?? tail)), 0);
}

function connectionState() {
  if (page.refusal) return ["closed", "Refused"];
  if (page.cutUntil) return ["cut", "Cut"];
  if (tails.status === "absent") return ["empty", "No topic yet"];
  if (!page.reading) return tails.status === "away" ? ["away", "No answer"] : ["connecting", "Connecting"];
  if (feed.state === "waiting") return ["away", "Connecting again"];
  if (feed.state === "offline") return ["away", "Offline"];
  if (feed.state === "closed") return ["closed", "Closed"];
  if (feed.state === "connecting") return ["connecting", "Connecting"];
  if (page.paused) return ["paused", "Paused"];
  return (behind() ?? 0) > 200 ? ["behind", "Catching up"] : ["live", "Live"];
}

function showState() {
  const [state, said] = connectionState();
  by("state").dataset.state = state;
  put("state-words", said);
  for (const id of ["cut", "pause", "replay"]) by(id).disabled = !page.reading && !page.cutUntil;
  notice.show({ status: tails.status, others: tails.others, refusal: page.refusal, away: state === "away" });
}

// What is shown

let frameWanted = false;

function wantFrame() {
  if (frameWanted) return;
  frameWanted = true;
  // No frames are drawn while nobody looks, but what arrives is taken all the same.
  if (document.hidden) setTimeout(() => frame(performance.now()), 250);
  else requestAnimationFrame(frame);
}

function frame(now) {
  frameWanted = false;
  draw(now);
  const more = map.frame(now);
  if (more || page.waiting.length || page.listed.length) wantFrame();
}

/** Takes a share of what waits, in the order of its time, to the map and the list. */
function draw(now) {
  const { waiting, listed } = page;
  if (waiting.length) {
    waiting.sort((a, b) => a.time - b.time);
    const passed = Math.min(250, now - page.drawnAt);
    const part = Math.ceil(waiting.length * (1 - Math.exp(-passed / DRAWN_IN)) + passed * LEAST);
    const share = document.hidden || still.matches ? waiting.length : part;
    const events = waiting.splice(0, share);
    map.add(events, now, !document.hidden && !still.matches);
    listed.push(...events);
    for (const event of events) {
      page.newest = Math.max(page.newest, event.time);
      if ((event.magnitude ?? -9) > (page.strongest?.magnitude ?? -9)) page.strongest = event;
    }
    if (waiting.length < WAITING / 2 && !page.paused) feed.resume();
  }
  page.drawnAt = now;
  if (listed.length && now - page.listedAt >= LIST_EVERY) {
    page.listedAt = now;
    list.add(listed.splice(0));
  }
}

function figures() {
  const now = Date.now();
  const { received, missed, repeated, lost } = page.ledger.total();
  put("rate", words.rate(page.rate.perSecond(now)));
  put("received", words.count(received));
  put("proof", received ? `${words.count(missed)} missed, ${words.count(repeated)} twice${lost ? `, ${words.count(lost)} gone` : ""}` : "nothing yet");
  by("proof").className = `detail ${missed || repeated ? "bad" : received ? "good" : ""}`;
  put("clock", page.newest ? words.moment(page.newest) : "–");
  const left = behind();
  put("behind", left === null ? "–" : words.count(left));
  showPositions();
  followStory(now);
  if (page.cutUntil && now >= page.cutUntil) mend();
  if (page.strongest) showStrongest();
  speakNowAndThen();
}

function showPositions() {
  const at = feed.positions;
  const accounts = new Map(page.ledger.partitions());
  const numbers = [...new Set([...tails.partitions.keys(), ...at.keys()])].sort((a, b) => a - b);
  positions.show(
    numbers.map((partition) => {
      const [epoch, next] = at.get(partition) ?? [null, null];
      const tail = tails.partitions.get(partition)?.tail;
      const account = accounts.get(partition);
      const left = next === null || tail === undefined ? null : Math.max(0, tail - next);
      return { partition, epoch, next, behind: left, received: account?.received ?? 0, keys: [...(account?.keys ?? [])].sort() };
    }),
  );
  put("cursor", feed.cursor ?? "–");
  const { missed, repeated } = page.ledger.total();
  put("gapfree", accounts.size ? (missed || repeated ? "not every offset came once" : "every offset came once") : "");
  if (tails.partitions.size) put("how-partitions", `One topic, ${words.plural(tails.partitions.size, "partition", "partitions")}`);
}

function followStory(now) {
  const at = new Map([...feed.positions].map(([number, [, next]]) => [number, next]));
  const wait = Math.max(page.cutUntil, page.retryAt) - now;
  story.waits({ published: behind(), wait });
  if (!page.waiting.length || page.waiting.length < WAITING) story.check({ now, places: at, ledger: page.ledger });
}

function showStrongest() {
  const { magnitude, place } = page.strongest;
  if (magnitude === null) return;
  const [number, where] = by("strongest").children;
  number.textContent = words.magnitude(magnitude);
  where.textContent = place;
  by("strongest").hidden = false;
}

/** Once a second: the line of the last minute, and how fast recorded time passes. */
function everySecond() {
  const now = Date.now();
  const counts = page.rate.minute(now);
  const top = Math.max(4, ...counts);
  const points = counts.map((n, i) => `${i} ${(19 - (18 * n) / top).toFixed(1)}`).join("L");
  by("spark").children[0].setAttribute("d", `M${points}V20H0Z`);
  by("spark").children[1].setAttribute("d", `M${points}`);
  // Only while it is live: a jump ahead is no pace.
  const steady = connectionState()[0] === "live" && !page.waiting.length;
  page.passed = steady ? [...page.passed, [now, page.newest]] : [];
  if (!page.passed.length) return put("pace", "UTC");
  if (page.passed.length > 12) page.passed.shift();
  const [[wall, recorded]] = page.passed;
  const times = (page.newest - recorded) / (now - wall);
  const told = recorded && page.passed.length > 5 && times >= 1.5;
  put("pace", told ? `UTC, about ${words.pace(times)}` : "UTC");
}

// What is heard: changes of the connection at once, arrivals now and then.

function say(text) {
  put("said", text);
}

function speakNowAndThen() {
  const now = performance.now();
  const { received } = page.ledger.total();
  if (now - page.spoken.at < SPEAK_EVERY || received === page.spoken.received) return;
  const came = received - page.spoken.received;
  page.spoken = { at: now, received };
  const strongest = page.strongest?.magnitude == null ? "" : ` Strongest so far: magnitude ${words.magnitude(page.strongest.magnitude)}, ${page.strongest.place}.`;
  say(`${words.plural(came, "event has", "events have")} arrived.${strongest}`);
  by("map").setAttribute("aria-label", `Map of ${words.plural(received, "event", "events")} received.${strongest}`);
}

// Hands

function choose(view) {
  map.show(view);
  for (const button of document.querySelectorAll("[data-view]")) {
    button.setAttribute("aria-pressed", String(button.dataset.view === view));
  }
}

function start() {
  const records = `${location.origin}/v1/topics/${encodeURIComponent(TOPIC)}/records`;
  showLines(by("try-lines"), [
    ["The newest record of each partition", `curl -s '${records}?from=last:1'`],
    ["What this page follows, as lines of JSON", `curl -sN -H 'accept: application/x-ndjson' '${records}?from=latest&follow=true'`],
    ["All events since a moment of the recorded week", `curl -s '${records}?from=time:2018-02-06T23:00:00Z&limit=100'`],
  ]);
  if (TOPIC !== "earthquakes") {
    put("heading", `${TOPIC}, as it is published`);
    document.title = `Live ${TOPIC} – tidegate`;
  }
  by("topic-link").href = `/v1/topics/${encodeURIComponent(TOPIC)}`;
  by("cut").addEventListener("click", cut);
  by("pause").addEventListener("click", () => pause(!page.paused));
  by("replay").addEventListener("click", () => beginAnew("earliest", "Replayed from the start."));
  by("again").addEventListener("click", again);
  for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => choose(button.dataset.view));
  document.addEventListener("theme", () => map.restyle());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => map.restyle());
  // On a phone the world is too small: nine in ten of the week's events happened here.
  if (matchMedia("(max-width: 640px)").matches) choose("america");
  map.restyle();
  setInterval(figures, FIGURES_EVERY);
  setInterval(everySecond, 1_000);
  tails.watch();
}

start();
