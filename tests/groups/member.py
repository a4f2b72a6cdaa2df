"""A member of a group, as a process: reads, processes, commits, writes all of it down.

    member.py '{"id": …, "life": …, "kind": "rest" | "socket", "seed": …, "group": …, "topic": …,
                "session_ms": …, "book": FILE, "ports": FILE}'

It goes on whatever happens to the gateway. SIGTERM: it leaves and ends. SIGUSR1: it is cut off, for less
or more than its session timeout. SIGUSR2: it leaves, and joins again.
"""

import json
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "crash"))

from gateway import Client, Gone, Refused  # noqa: E402
from history import Book  # noqa: E402

GONE = ("member_expired", "member_unknown", "group_unknown")
WAIT = 1.0


class Member:
    """What both kinds of member do alike."""

    def __init__(self, told):
        self.id, self.life, self.topic, self.group = told["id"], told["life"], told["topic"], told["group"]
        self.rng = random.Random(told["seed"])
        self.session = told["session_ms"] / 1000
        self.ports = Path(told["ports"])
        self.book = Book(told["book"], m=self.id)
        self.client = None
        self.ending = self.cut = self.moving = False
        self.generation, self.holds, self.revoking = 0, set(), set()
        # What it will try to commit when it is late for it: (when, generation, {partition: next}).
        self.late = []
        # partition -> the next offset, of what it holds or is to release; and what of it is committed.
        self.done, self.committed = {}, {}
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "ending", True))
        signal.signal(signal.SIGUSR1, lambda *_: setattr(self, "cut", True))
        signal.signal(signal.SIGUSR2, lambda *_: setattr(self, "moving", True))

    def port(self):
        """One of the gateways: there is no affinity."""
        return self.rng.choice(json.loads(self.ports.read_text()))

    def note(self, event, **more):
        self.book.note(event, life=self.life, **more)

    def call(self, name, method, path, body=None, **more):
        """One request: its answer's code ("ok" where it was done) and the answer; written down."""
        t0 = time.monotonic()
        try:
            self.client = self.client or Client(self.port())
            _, answer = self.client.call(method, f"/v1/groups/{self.group}{path}", body)
            code = "ok"
        except Refused as refused:
            code, answer = refused.problem["code"], refused.problem
        except (Gone, OSError, ValueError) as error:
            code, answer = "none", str(error)
            self.client = None
        if code == "ok" and name == "commit":
            more["stands"] = {c["partition"]: c["offset"] for c in answer["commits"]}
        self.note("call", call=name, t0=t0, answer=code, **more)
        return code, answer

    def told(self, generation, holds, revoking, floor, says=None, **more):
        """What it holds from now on."""
        if generation > self.generation:
            self.be_late({p: at for p, at in self.done.items() if p not in {*holds, *revoking}})
        self.generation = generation
        gone = (self.holds | self.revoking) - set(holds)
        self.holds, self.revoking = set(holds), set(revoking)
        for partition in gone | set(more.get("begins", {})):
            if partition not in self.revoking:
                self.done.pop(partition, None)
                self.committed.pop(partition, None)
        says = sorted(self.holds | self.revoking) if says is None else sorted(says)
        self.note("told", floor=floor, g=generation, says=says, holds=sorted(holds), revoking=sorted(revoking), **more)

    def be_late(self, lost):
        """As one whose work goes on in another thread: it commits later what it has lost."""
        if lost and self.rng.random() < 0.5:
            self.late.append((time.monotonic() + self.rng.random() * 1.5, self.generation, lost))

    def late_commit(self):
        """What is to be committed too late now: (generation, commits), or None."""
        if self.late and self.late[0][0] <= time.monotonic():
            return self.late.pop(0)[1:]
        return None

    def process(self, partition, records, floor):
        """Some work, which is done once it is written down; in two parts, so that it may end between."""
        middle = self.rng.randrange(len(records) + 1) if self.rng.random() < 0.2 else 0
        for part in (records[:middle], records[middle:]):
            if part:
                time.sleep(self.rng.random() * 0.01)
                names = [[record["offset"], record["value"]] for record in part]
                self.note("read", floor=floor, p=partition, g=self.generation, records=names)
        self.done[partition] = records[-1]["offset"] + 1

    def commits(self, partitions=None):
        """What is to be committed now: as a rule all that was done, at times only some, or what lies behind."""
        draw = self.rng.random()
        left = {p: at for p, at in self.done.items()
                if p in (self.holds | self.revoking) and (partitions is None or p in partitions)
                and at > self.committed.get(p, -1)}
        if partitions is None and draw < 0.4:
            return {}
        if partitions is None and draw < 0.5:
            left = dict(list(left.items())[:1])
        if partitions is None and draw < 0.55:
            left = {p: self.rng.randrange(at + 1) for p, at in left.items()}
        return left

    def commit_body(self, commits):
        entries = [{"topic": self.topic, "partition": p, "offset": at} for p, at in commits.items()]
        return {"member_id": self.id, "generation": self.generation, "commits": entries}

    def commit_call(self, commits, generation=None):
        body = self.commit_body(commits)
        body["generation"] = generation = self.generation if generation is None else generation
        self.note("sent", g=generation, commits=commits)
        code, answer = self.call("commit", "POST", "/commits", body, g=generation, commits=commits)
        if code == "ok":
            for partition, at in commits.items():
                self.committed[partition] = max(at, self.committed.get(partition, 0))
        return code, answer

    def join_body(self):
        return {"topics": [self.topic], "session_timeout_ms": int(self.session * 1000), "member_id": self.id}

    def every_call(self):
        """One that is no member any more is refused in every call: what a worker that was away would do."""
        calls = [
            lambda: self.commit_call(dict(self.done) or {0: 0}),
            lambda: self.call("heartbeat", "POST", f"/members/{self.id}/heartbeat"),
            lambda: self.call("release", "POST", f"/members/{self.id}/release", {}),
            lambda: self.call("poll", "POST", f"/members/{self.id}/poll", {"limit": 1}),
        ]
        self.rng.shuffle(calls)
        for call in calls:
            call()

    def stay_away(self):
        """It has left, and comes back at its leisure."""
        until = time.monotonic() + self.rng.random() * self.session
        while not self.ending and time.monotonic() < until:
            time.sleep(0.1)

    def forget(self):
        """It holds nothing any more."""
        if self.holds or self.revoking:
            self.told(self.generation, [], [], time.monotonic(), says=[])
        self.done, self.committed = {}, {}


def main():
    told = json.loads(sys.argv[1])
    if told["kind"] == "rest":
        from by_rest import RestMember as Kind
    else:
        from by_socket import SocketMember as Kind
    Kind(told).run()


if __name__ == "__main__":
    main()
