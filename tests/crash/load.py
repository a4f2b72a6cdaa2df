"""Publishers that note what was acknowledged, and the proof that it is there."""

import random
import threading

from gateway import Client, Gone, Refused

PARTITIONS = 4


class Ledger:
    """What was acknowledged, over all rounds. Thread-safe."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acked = {}  # (partition, offset) -> name of the record
        self.buffered = {}  # the same, in the buffered topic
        self.named = {}  # idempotency key -> (records, places or None)
        self.count = 0

    def note(self, topic, places, records):
        with self.lock:
            book = self.acked if topic == "synced" else self.buffered
            for place, record in zip(places, records):
                book[place["partition"], place["offset"]] = record["value"]["name"]
            self.count += len(places)


def pad(rng):
    size = rng.choice([10, 50, 200, 200, 200, 1000, 5000, 20000])
    return "%x" % rng.getrandbits(size * 4)


def batch(rng, writer, number):
    """One publish: records, each with a name of its own and the batch's size."""
    count = rng.choice([1, 1, 1, 2, 5, 20, 60])
    large = rng.random() < 0.01
    records = []
    for i in range(count):
        name = f"{writer}.{number}.{i}.{count}"
        value = {"name": name, "pad": "y" * 600_000 + pad(rng) if large and i == 0 else pad(rng)}
        record = {"value": value}
        if rng.random() < 0.5:
            record["key"] = f"w{writer}"
        elif rng.random() < 0.5:
            record["partition"] = rng.randrange(PARTITIONS)
        records.append(record)
    return records


def publisher(port, ledger, writer, first, stop, seed, only=None):
    """Publishes until the gateway is gone or `stop` is set. Returns the next number."""
    rng = random.Random(seed)
    client = Client(port)
    number = first
    while not stop.is_set():
        number += 1
        records = batch(rng, writer, number)
        draw = rng.random()
        topic = only or ("buffered" if draw < 0.2 else "synced")
        key = f"{writer}-{number}" if topic == "synced" and draw > 0.8 else None
        early = "buffered" if topic == "synced" and 0.5 < draw < 0.6 else None
        if key:
            with ledger.lock:
                ledger.named[key] = (records, None)
        try:
            places = client.publish(topic, records, durability=early, key=key)
        except Gone:
            break
        except Refused as refused:
            if refused.status == 503:
                continue
            if refused.status == 504:  # may have happened, as with no answer
                break
            raise
        if not early:
            ledger.note(topic, places, records)
        if key:
            with ledger.lock:
                ledger.named[key] = (records, places)
    client.close()
    return number


class Failure(Exception):
    """A promise was broken."""


def need(holds, what):
    if not holds:
        raise Failure(what)


def by_partition(records):
    parts = {}
    for record in records:
        parts.setdefault(record["partition"], []).append(record)
    return parts


def starts(client, topic):
    _, description = client.call("GET", f"/v1/topics/{topic}")
    return {p["partition"]: p["start"] for p in description["partition_list"]}


def prove_synced(client, ledger):
    """Everything acknowledged is there once, in order; batches are whole."""
    begins = starts(client, "synced")
    records, lost, _ = client.read_all("synced")
    need(not lost, f"lost was said at earliest: {lost}")
    seen, batches, last = {}, {}, {}
    for partition, part in by_partition(records).items():
        offsets = [r["offset"] for r in part]
        need(offsets[0] >= begins[partition], "a record before the start")
        need(offsets == list(range(offsets[0], offsets[0] + len(offsets))), f"a gap in {partition}")
        for record in part:
            name = record["value"]["name"]
            need(name not in seen, f"{name} is there twice: {seen.get(name)} and {record['offset']}")
            seen[name] = (partition, record["offset"])
            writer, number, index, count = map(int, name.split("."))
            batches.setdefault((writer, number, count), set()).add(index)
            if record.get("key"):
                order = (number, index)
                need(order > last.get((partition, writer), (-1, -1)), f"{name} is out of order")
                last[partition, writer] = order
    for place, name in ledger.acked.items():
        if place[1] >= begins.get(place[0], 0):
            need(seen.get(name) == place, f"acknowledged {name} at {place} is at {seen.get(name)}")
    trimmed = any(begins.values())
    for (writer, number, count), there in batches.items():
        need(trimmed or len(there) == count, f"batch {writer}.{number}: {len(there)} of {count} records")
    return len(records)


def prove_named(client, ledger, rng, most=40):
    """A repeat answers what the first did, whether that was heard or not."""
    with ledger.lock:
        unheard = [k for k, (_, places) in ledger.named.items() if places is None]
        heard = [k for k, (_, places) in ledger.named.items() if places is not None]
    for key in unheard + rng.sample(heard, min(most, len(heard))):
        records, before = ledger.named[key]
        places = client.publish("synced", records, key=key)
        need(before is None or places == before, f"{key}: {places} is not {before}")
        ledger.named[key] = (records, places)
        ledger.note("synced", places, records)


def prove_buffered(client, ledger, cursor):
    """Only a tail may be lost, under a new epoch, and an old cursor is told."""
    _, description = client.call("GET", "/v1/topics/buffered")
    tails = {p["partition"]: (p["tail"], p["start"]) for p in description["partition_list"]}
    records, _, _ = client.read_all("buffered")
    there = {(r["partition"], r["offset"]): r["value"]["name"] for r in records}
    gone = {}
    for place, name in list(ledger.buffered.items()):
        tail, start = tails[place[0]]
        if place[1] >= tail:
            gone[place[0]] = max(gone.get(place[0], 0), place[1])
            del ledger.buffered[place]
        elif place[1] >= start:
            need(there.get(place) == name, f"buffered {place} is {there.get(place)}, not {name}")
    if cursor:
        seen, lost, _ = client.read_all("buffered", cursor=cursor["text"])
        for partition, upto in cursor["next"].items():
            tail = tails[partition][0]
            told = [l for l in lost if l["partition"] == partition and l["reason"] == "truncated"]
            need(bool(told) == (upto > tail), f"partition {partition}: read to {upto}, tail {tail}, told {lost}")
        need(all(r["offset"] >= 0 for r in seen), "offsets")
    return len(records), len(gone)


def follow(port, state, stop):
    """Reads the synced topic on from the last cursor; no gap, no repeat."""
    client = Client(port)
    try:
        while not stop.is_set():
            page = client.read_from("synced", cursor=state["cursor"], limit=500)
            need(not [l for l in page.get("lost") or [] if l["reason"] == "truncated"], "truncated")
            for record in page["records"]:
                expected = state["next"].get(record["partition"])
                if expected is not None and not page.get("lost"):
                    need(record["offset"] == expected, f"read {record['offset']}, expected {expected}")
                state["next"][record["partition"]] = record["offset"] + 1
            state["cursor"] = page["cursor"]
    except Gone:
        pass
    except Refused as refused:
        # While the power goes, reads may fail in any way.
        if not stop.is_set() and not state.get("ending"):
            state["failure"] = str(refused)
    except Failure as failure:
        state["failure"] = str(failure)
    finally:
        client.close()
