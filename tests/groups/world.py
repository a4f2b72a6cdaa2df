"""Publishers, an observer, members as processes, and what is done to all of them."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "crash"))

from gateway import Client, Gone, Refused  # noqa: E402
from history import Book  # noqa: E402

# What the two parts of a lease are called in events, and in answers.
LEASE = (("holds", "assignment"), ("revoking", "revoking"))
PARTITIONS = 8
MEMBERS = 12
# So many are left alone.
WORK_ON = 4


class Shared:
    """Where the gateways are; members read it from a file."""

    def __init__(self, gateways, ports):
        self.gateways, self.file = gateways, ports
        self.tell()

    def tell(self):
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps([gateway.port for gateway in self.gateways]))
        os.replace(fresh, self.file)

    def client(self, rng):
        return Client(rng.choice(self.gateways).port)


class Publisher(threading.Thread):
    """Publishes, and keeps book of what was acknowledged and of what may be there."""

    def __init__(self, shared, number, seed, topic):
        super().__init__(daemon=True)
        self.shared, self.number, self.topic = shared, number, topic
        self.rng = random.Random(seed)
        self.acked, self.doubt, self.refused = {}, set(), 0
        self.ending = threading.Event()
        self.start()

    def run(self):
        client, count = None, 0
        while not self.ending.is_set():
            time.sleep(self.rng.random() * 0.06)
            count += 1
            names = [f"{self.number}.{count}.{i}" for i in range(self.rng.choice([1, 1, 2, 5]))]
            records = [{"value": name, "partition": self.rng.randrange(PARTITIONS)} for name in names]
            try:
                client = client or self.shared.client(self.rng)
                for name, place in zip(names, client.publish(self.topic, records)):
                    self.acked[name] = (place["partition"], place["offset"])
            except Refused as refused:
                self.refused += 1
                if refused.problem["may_have_happened"]:
                    self.doubt.update(names)
            except (Gone, OSError):
                self.doubt.update(names)
                client = None


class Observer(threading.Thread):
    """Looks at the group now and then, as an operator would."""

    def __init__(self, shared, book, seed, group, topic):
        super().__init__(daemon=True)
        self.shared, self.book, self.rng = shared, book, random.Random(seed)
        self.group, self.topic = group, topic
        self.ending = threading.Event()
        self.start()

    def run(self):
        while not self.ending.wait(0.3):
            self.look()

    def look(self):
        """The group as it stands, or None."""
        t0 = time.monotonic()
        try:
            _, told = self.shared.client(self.rng).call("GET", f"/v1/groups/{self.group}")
        except (Gone, Refused, OSError):
            return None
        members = {
            m["member_id"]: {name: m[of].get(self.topic, []) for name, of in LEASE} for m in told["members"]
        }
        commits = {p["partition"]: p["commit"] for p in told["partitions"] if p["commit"] is not None}
        self.book.note("seen", t0=t0, g=told["generation"], state=told["state"], members=members, commits=commits)
        return {"state": told["state"], "members": members, "commits": commits,
                "generation": told["generation"]}


class Place:
    """One of the places for members: a process after the other."""

    def __init__(self, world, number):
        self.world, self.number = world, number
        self.kind = ("rest", "socket")[number % 2]
        self.lives, self.name = 0, f"{self.kind}-{number}"
        # When it is to be resumed, or to begin anew.
        self.process, self.resume_at, self.begin_at, self.book = None, None, None, None

    def begin(self, fresh=False):
        self.lives += 1
        if fresh:
            self.name = f"{self.kind}-{self.number}-{self.lives}"
        world = self.world
        self.book = world.work / f"member-{self.number}.{self.lives}"
        told = {
            "id": self.name, "life": f"{self.name}#{self.lives}", "kind": self.kind, "group": world.group, "topic": world.topic,
            "seed": world.rng.random(), "session_ms": world.rng.choice(world.sessions_ms),
            "book": str(self.book), "ports": str(world.shared.file),
        }
        self.session = told["session_ms"] / 1000
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "member.py"), json.dumps(told)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=world.complaints,
        )
        self.resume_at = self.begin_at = None

    def signal(self, number):
        os.kill(self.process.pid, number)

    def is_running(self):
        """Whether it works: it has written something down, and so hears signals."""
        written = self.book.exists() and self.book.stat().st_size > 0
        return written and self.begin_at is None and self.resume_at is None

    def kill(self, after):
        self.signal(signal.SIGKILL)
        self.process.wait()
        self.begin_at = after

    def tend(self, now):
        """Resumes or begins what is due. A member that ended by itself is a fault of the test."""
        if self.resume_at and self.resume_at <= now:
            self.signal(signal.SIGCONT)
            self.resume_at = None
            self.world.book.note("fault", what="resumed", m=self.name)
        if self.begin_at and self.begin_at <= now:
            self.begin(self.world.rng.random() < 0.5)
            self.world.book.note("fault", what="begun", m=self.name)
        if self.begin_at is None and self.process.poll() is not None:
            raise RuntimeError(f"member {self.name} ended by itself, code {self.process.returncode}")


class World:
    """All of it: made, troubled for a while, brought to rest."""

    def __init__(self, gateways, work, seed, sessions_ms, topic_config=None, pace=1.0):
        self.gateways, self.work, self.rng = gateways, Path(work), random.Random(seed)
        # How much slower than on one machine everything goes.
        self.sessions_ms, self.pace = sessions_ms, pace
        self.book = Book(self.work / "world")
        # A cluster may have had others before.
        mark = f"{time.time_ns() // 1_000_000 % 10**8:x}"
        self.group, self.topic = f"workers-{mark}", f"jobs-{mark}"
        self.complaints = open(self.work / "complaints", "wb")
        self.counts = {}
        for gateway in gateways:
            gateway.start()
        self.shared = Shared(gateways, self.work / "ports")
        self.make_topic({"partitions": PARTITIONS, **(topic_config or {})})
        self.publishers = [Publisher(self.shared, n, self.rng.random(), self.topic) for n in range(3)]
        self.observer = Observer(self.shared, self.book, self.rng.random(), self.group, self.topic)
        self.places = [Place(self, number) for number in range(MEMBERS)]
        for place in self.places:
            place.begin()

    def make_topic(self, config):
        """Makes it at one gateway, and waits until the others know of it."""
        self.gateways[0].call("PUT", f"/v1/topics/{self.topic}", config)
        for gateway in self.gateways[1:]:
            while True:
                try:
                    gateway.call("GET", f"/v1/topics/{self.topic}")
                    break
                except Refused:
                    time.sleep(0.1)

    def trouble(self, seconds):
        """Faults of all kinds, by the seed."""
        end = time.monotonic() + seconds
        server_at = time.monotonic() + self.rng.uniform(3, 10) * self.pace
        fault_at = time.monotonic() + 2 * self.pace
        while (now := time.monotonic()) < end:
            for place in self.places:
                place.tend(now)
            if now >= server_at:
                self.restart()
                server_at = time.monotonic() + self.rng.uniform(3, 10) * self.pace
            if now >= fault_at:
                self.fault(now)
                fault_at = time.monotonic() + self.rng.uniform(0.2, 1.4) * self.pace
            time.sleep(0.02)

    def fault(self, now):
        running = [place for place in self.places if place.is_running()]
        # Some always work, so that there are hand-overs and no standstill.
        if len(running) <= WORK_ON:
            return
        if len(running) > 8 and self.rng.random() < 0.4:
            # So few are left that they hold several, and have to let go of them when the others return.
            for place in self.rng.sample(running, len(running) - WORK_ON):
                self.harm(place, self.rng.choice(["killed", "moves"]), now)
            return
        kinds = ["killed", "killed", "paused", "overslept", "overslept", "cut", "moves"]
        self.harm(self.rng.choice(running), self.rng.choice(kinds), now)

    def harm(self, place, what, now):
        self.counts[what] = self.counts.get(what, 0) + 1
        self.book.note("fault", what=what, m=place.name)
        if what == "killed":
            place.kill(now + self.rng.uniform(0.05, 2.5 * place.session))
        elif what in ("paused", "overslept"):
            place.signal(signal.SIGSTOP)
            long = self.rng.uniform(2, 3) * place.session + 1
            place.resume_at = now + (self.rng.uniform(0.1, 1) if what == "paused" else long)
        else:
            place.signal(signal.SIGUSR1 if what == "cut" else signal.SIGUSR2)

    def restart(self):
        """SIGKILL of a gateway, and its start."""
        gateway = self.rng.choice(self.gateways)
        self.counts["server killed"] = self.counts.get("server killed", 0) + 1
        gateway.kill()
        self.book.note("server", what="killed")
        time.sleep(self.rng.choice([0, 0, self.rng.random()]))
        gateway.start()
        self.shared.tell()
        self.book.note("server", what="started")

    def rest(self, seconds=60):
        """No more faults or publishes: all members run, and finish. Answers the group as it stands then."""
        for publisher in self.publishers:
            publisher.ending.set()
        for publisher in self.publishers:
            publisher.join(60)
        # Not the lag: where offsets have gaps it says no more than how much may be left.
        ends = {p: records[-1][0] for p, records in self.log().items() if records}
        deadline, seen = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            for place in self.places:
                # At once, whatever it was to wait for.
                place.resume_at = place.resume_at and 1
                place.begin_at = place.begin_at and 1
                place.tend(time.monotonic())
            seen = self.observer.look() or seen
            if seen and self.is_at_rest(seen, ends):
                break
            time.sleep(0.2)
        return seen

    def is_at_rest(self, seen, ends):
        """Whether all members are there and none is to come, and all is committed."""
        names = {place.name for place in self.places}
        done = all(seen["commits"].get(partition, 0) > offset for partition, offset in ends.items())
        return done and seen["state"] == "stable" and seen["members"].keys() == names

    def end(self):
        """Members leave; what is left of them is ended. Answers how many did not end by themselves."""
        self.observer.ending.set()
        hung = 0
        for place in self.places:
            if place.process and place.process.poll() is None:
                place.signal(signal.SIGCONT)
                place.signal(signal.SIGTERM)
        for place in self.places:
            if place.process:
                try:
                    place.process.wait(15)
                except subprocess.TimeoutExpired:
                    hung += 1
                    place.process.kill()
                    place.process.wait()
        self.observer.join(30)
        self.complaints.close()
        return hung

    def log(self):
        """What is in the topic: partition -> [(offset, name)]."""
        client, records = Client(self.gateways[0].port), {p: [] for p in range(PARTITIONS)}
        found, lost, _ = client.read_all(self.topic)
        for record in found:
            records[record["partition"]].append((record["offset"], record["value"]))
        if lost:
            raise RuntimeError(f"the log was read back with a loss: {lost}")
        return records
