"""Gateways in front of a cluster, what publishes to them, and what follows them."""

import http.client
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "crash"))

from gateway import Client, Gateway, Gone, Refused  # noqa: E402, F401


class KafkaGateway(Gateway):
    """`tidegate serve --engine kafka` on a free port."""

    def __init__(self, binary, brokers, extra=(), env=None):
        super().__init__(binary, "unused")
        self.args = [
            binary, "serve", "--listen", "127.0.0.1:0", "--engine", "kafka",
            "--kafka-brokers", brokers, "--kafka-publish-timeout", "6s", *extra,
        ]
        if env:
            self.args = ["env", *[f"{name}={value}" for name, value in env.items()], *self.args]

    def fails_to_start(self, seconds=60):
        """Its exit code and what it said, where it must not come up."""
        done = subprocess.run(self.args, capture_output=True, text=True, timeout=seconds, check=False)
        return done.returncode, done.stdout + done.stderr


class Load:
    """Publishers that keep book of what was acknowledged, and of what may have happened."""

    def __init__(self, gateways, topic, threads=4, batch=5):
        self.gateways, self.topic, self.batch = gateways, topic, batch
        self.book, self.perhaps, self.refusals = {}, set(), []
        # What belongs together: all of it or nothing is in the log.
        self.wholes, self.repeats = [], 0
        # Keys whose every refusal said for certain that nothing happened, and something had.
        self.lies = []
        self.lock, self.ending = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(n,), daemon=True) for n in range(threads)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        count, client, at = 0, None, number
        while not self.ending.is_set():
            count += 1
            names = [f"{number}.{count}.{i}" for i in range(self.batch)]
            # Three ways of an append: one partition, several, and with a key.
            records = [{"key": f"k{number}", "value": {"name": name}} for name in names]
            if count % 3 == 0:
                records = [{"partition": i % 3, "value": {"name": name}} for i, name in enumerate(names)]
            key, certain = f"{number}.{count}" if count % 5 == 0 else None, True
            if key or count % 3 == 0:
                self.wholes.append(names)
            # What has a key is sent until it is answered for certain, as a careful client does.
            for attempt in range(600 if key else 1):
                try:
                    client = client or Client(self.gateways[at % len(self.gateways)].port)
                    answer = client.publish_whole(self.topic, records, key)
                    with self.lock:
                        self.repeats += attempt > 0
                        if answer.get("repeated") and certain:
                            self.lies.append(key)
                        for name, place in zip(names, answer["records"]):
                            self.book[name] = (place["partition"], place["offset"])
                    break
                except Refused as refused:
                    with self.lock:
                        self.refusals.append(refused)
                        if refused.problem.get("may_have_happened"):
                            self.perhaps.update(names)
                            certain = False
                    time.sleep(0.05)
                except Gone:
                    with self.lock:
                        self.perhaps.update(names)
                    client, at, certain = None, at + 1, False
                    time.sleep(0.05)
                if self.ending.is_set():
                    break

    def acknowledged(self):
        with self.lock:
            return len(self.book)

    def end(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(60)
            if thread.is_alive():
                raise RuntimeError("a publish hangs")
        return self


class Follower:
    """Server-sent events from the beginning; goes on by its last id, at the next gateway."""

    def __init__(self, gateways, topic):
        self.gateways, self.topic = gateways, topic
        self.seen, self.lost, self.id = [], [], None
        # Answers that a reader with a good cursor must not get.
        self.wrong = []
        self.reconnects = -1
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        at = 0
        while not self.ending.is_set():
            self.reconnects += 1
            try:
                self.stream(self.gateways[at % len(self.gateways)].port)
            except (OSError, http.client.HTTPException, TypeError):
                pass
            at += 1
            time.sleep(0.1)

    def stream(self, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"accept": "text/event-stream"}
        if self.id:
            headers["last-event-id"] = self.id
        connection.request("GET", f"/v1/topics/{self.topic}/records?from=earliest&follow=true", headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            said = answer.read().decode()
            # A second gateway may not have learnt of the topic yet.
            if answer.status != 503 and (self.id or answer.status != 404):
                self.wrong.append(f"{answer.status} {said}")
            return
        event, data, id_ = "message", [], None
        while not self.ending.is_set():
            line = answer.readline()
            if not line:
                return
            line = line.decode().rstrip("\n")
            if line:
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if field == "event":
                    event = value
                elif field == "data":
                    data.append(value)
                elif field == "id":
                    id_ = value
                continue
            self.take(event, "\n".join(data))
            self.id = id_ or self.id
            event, data, id_ = "message", [], None

    def take(self, event, data):
        if event == "records":
            shared = json.loads(data)
            self.seen += [(r.get("partition", shared.get("partition")), r["offset"]) for r in shared["records"]]
        elif event == "lost":
            self.lost.append(json.loads(data))

    def wait(self, count, seconds=60):
        deadline = time.monotonic() + seconds
        while len(self.seen) < count and time.monotonic() < deadline:
            time.sleep(0.1)

    def end(self):
        self.ending.set()
        return self
