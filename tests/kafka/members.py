"""Members of a group over plain HTTP, another program's member of the same group, and the book that both keep."""

import itertools
import threading
import time

from confluent_kafka import Consumer, KafkaException
from gateways import Client, Gone, Refused


class Book:
    """What was processed, by whom, in which order."""

    def __init__(self):
        self.lock, self.times, self.by, self.wrong = threading.Lock(), {}, {}, []

    def took(self, member, partition, offset):
        with self.lock:
            place = (partition, offset)
            self.times[place] = self.times.get(place, 0) + 1
            self.by[member] = self.by.get(member, 0) + 1

    def processed(self):
        with self.lock:
            return len(self.times)

    def twice(self):
        with self.lock:
            return sorted(place for place, times in self.times.items() if times > 1)


class RestMember:
    """Joins, polls, processes, commits, releases: each call on whichever port comes next."""

    def __init__(self, ports, group, topic, name, book, session_ms=15_000):
        self.ports, self.path, self.topic = ports, f"/v1/groups/{group}", topic
        self.name, self.book, self.session_ms = name, book, session_ms
        self.turn, self.ending, self.joins, self.codes = itertools.count(), threading.Event(), 0, []
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def call(self, method, path, body=None):
        ports = self.ports()
        client = Client(ports[next(self.turn) % len(ports)])
        try:
            return client.call(method, self.path + path, body)[1]
        finally:
            client.close()

    def run(self):
        joined, cursor, last = False, None, {}
        while not self.ending.is_set():
            try:
                if not joined:
                    self.call("POST", "/members", {
                        "topics": [self.topic], "member_id": self.name, "session_timeout_ms": self.session_ms,
                    })
                    joined, cursor, last = True, None, {}
                    self.joins += 1
                asked = {"wait_ms": 1000, "limit": 50} | ({"cursor": cursor} if cursor else {})
                page = self.call("POST", f"/members/{self.name}/poll", asked)
                self.process(page, last)
                if page["revoking"]:
                    self.call("POST", f"/members/{self.name}/release", {})
                cursor = page["cursor"]
                held = set(page["assignment"].get(self.topic, []))
                for gone in set(last) - held:
                    del last[gone]
            except Refused as refused:
                code = refused.problem["code"]
                self.codes.append(code)
                cursor, last = None, {}
                if code in ("member_unknown", "member_expired"):
                    joined = False
                time.sleep(0.1)
            except Gone:
                self.codes.append("gone")
                cursor, last = None, {}
                time.sleep(0.1)
        try:
            self.call("DELETE", f"/members/{self.name}")
        except (Refused, Gone):
            pass

    def process(self, page, last):
        next_of = {}
        for record in page["records"]:
            partition, offset = record["partition"], record["offset"]
            if offset <= last.get(partition, -1):
                self.book.wrong.append(f"{self.name}: {offset} of {partition} after {last[partition]}")
            last[partition] = offset
            self.book.took(self.name, partition, offset)
            next_of[partition] = offset + 1
        if next_of:
            commits = [{"topic": self.topic, "partition": p, "offset": o} for p, o in next_of.items()]
            self.call("POST", "/commits", {
                "member_id": self.name, "generation": page["generation"], "commits": commits,
            })

    def end(self):
        self.ending.set()
        self.thread.join(60)


class OtherMember:
    """A consumer of another program, which knows nothing of gateways."""

    def __init__(self, brokers, group, topic, name, book):
        self.name, self.topic, self.book = name, topic, book
        self.consumer = Consumer({
            "bootstrap.servers": brokers, "group.id": group, "enable.auto.commit": False,
            "partition.assignment.strategy": "cooperative-sticky", "auto.offset.reset": "earliest",
            "session.timeout.ms": 10_000, "heartbeat.interval.ms": 500,
        })
        self.ending, self.held = threading.Event(), 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        self.consumer.subscribe([self.topic])
        while not self.ending.is_set():
            message = self.consumer.poll(0.2)
            self.held = len(self.consumer.assignment())
            if message is None or message.error():
                continue
            self.book.took(self.name, message.partition(), message.offset())
            try:
                self.consumer.commit(message, asynchronous=False)
            except KafkaException as error:
                self.book.wrong.append(f"{self.name}: {error}")
        self.consumer.close()

    def end(self):
        self.ending.set()
        self.thread.join(60)
