"""One round: load, an end without warning, a start, and the proof."""

import random
import threading
import time

from gateway import Client, Gone, Refused
from load import (
    PARTITIONS, Ledger, follow, need, prove_buffered, prove_named, prove_synced, publisher,
)

WRITERS = 6


class Rounds:
    """The state that lives from round to round."""

    def __init__(self, gateway, seed):
        self.gateway = gateway
        self.rng = random.Random(seed)
        self.ledger = Ledger()
        self.numbers = [0] * WRITERS
        self.reader = {"cursor": None, "next": {}}
        self.startups = []

    def make_topics(self):
        client = Client(self.gateway.port)
        client.call("PUT", "/v1/topics/synced", {"partitions": PARTITIONS})
        client.call("PUT", "/v1/topics/buffered", {"partitions": PARTITIONS, "durability": "buffered"})
        # Comes and goes beside the others, so that volumes die and are copied.
        client.call("PUT", "/v1/topics/side", {"partitions": 1, "retention_bytes": 1 << 20})
        client.close()

    def side(self, stop):
        client = Client(self.gateway.port)
        try:
            while not stop.is_set():
                client.publish("side", [{"text": "%x" % random.getrandbits(80_000)} for _ in range(20)])
        except (Gone, Refused):
            pass

    def load(self, seconds, end):
        """Publishes and reads for a while, then calls `end`, which ends the gateway."""
        stop = threading.Event()
        errors = []
        seeds = [self.rng.random() for _ in range(WRITERS)]
        # Synced publishes sync the buffered ones beside them: leave them out at times.
        only = "buffered" if self.rng.random() < 0.3 else None

        def write(writer):
            try:
                self.numbers[writer] = publisher(
                    self.gateway.port, self.ledger, writer, self.numbers[writer], stop,
                    seeds[writer], only,
                )
            except Exception as error:  # told by the main thread
                errors.append(error)

        threads = [threading.Thread(target=write, args=(w,)) for w in range(WRITERS)]
        threads.append(threading.Thread(target=follow, args=(self.gateway.port, self.reader, stop)))
        if not only:
            threads.append(threading.Thread(target=self.side, args=(stop,)))
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        cursor = self.buffered_cursor()
        self.reader["ending"] = True
        end()
        stop.set()
        for thread in threads:
            thread.join(60)
            need(not thread.is_alive(), "a client hangs after the gateway's end")
        if errors:
            raise errors[0]
        self.reader["ending"] = False
        need("failure" not in self.reader, self.reader.get("failure"))
        return cursor

    def buffered_cursor(self):
        """A cursor at the buffered topic's end, and the offsets it stands for."""
        client = Client(self.gateway.port)
        try:
            page = client.read_from("buffered", start="latest")
            records, _, text = client.read_all("buffered", cursor=page["cursor"])
            following = {}
            for record in records:
                following[record["partition"]] = record["offset"] + 1
            return {"text": text, "next": following}
        except (Gone, Refused):
            return None
        finally:
            client.close()

    def prove(self, cursor):
        client = Client(self.gateway.port)
        try:
            buffered, gone = prove_buffered(client, self.ledger, cursor)
            prove_named(client, self.ledger, self.rng)
            synced = prove_synced(client, self.ledger)
        finally:
            client.close()
        return synced, buffered, gone

    def tidy(self):
        """Trims what was proven, so that rounds stay short; topics stay."""
        client = Client(self.gateway.port)
        for topic in ("synced", "buffered"):
            _, description = client.call("GET", f"/v1/topics/{topic}")
            for part in description["partition_list"]:
                middle = (part["start"] + part["tail"]) // 2
                client.call(
                    "POST", f"/v1/topics/{topic}/trim",
                    {"partition": part["partition"], "before": {"offset": middle}},
                )
        client.close()
        with self.ledger.lock:
            self.ledger.named = dict(list(self.ledger.named.items())[-2000:])
