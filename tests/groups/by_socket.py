"""A member by WebSocket: frames as they come, commits and releases without waiting for their answers."""

import json
import socket
import time

from member import GONE, Member
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

OVER = (ConnectionClosed, InvalidHandshake, OSError, EOFError, TimeoutError)


class SocketMember(Member):
    count = 0
    left = False

    def run(self):
        first = self.life
        while not self.ending:
            # Each connection is a life of its own: it begins from the commits.
            self.count += 1
            self.life = f"{first}/{self.count}"
            try:
                self.connection()
            except OVER:
                pass
            self.over()
        if self.generation:
            self.call("leave", "DELETE", f"/members/{self.id}")

    def connection(self):
        self.pending, self.ids, self.floor = {}, 0, time.monotonic()
        url = f"ws://127.0.0.1:{self.port()}/v1/ws"
        with connect(url, subprotocols=["tidegate.v1"], ping_interval=None, open_timeout=5, close_timeout=0.2,
                     compression=None, max_size=None) as ws:
            self.ws = ws
            self.ask("join", "join", group=self.group, topics=[self.topic], member_id=self.id,
                     session_timeout_ms=int(self.session * 1000))
            while not self.ending and self.stay():
                try:
                    self.take(json.loads(ws.recv(timeout=0.1)))
                except TimeoutError:
                    # What it left out before.
                    if not self.pending and (commits := self.commits()):
                        self.commit(commits)

    def over(self):
        """The connection is gone: what was asked has no answer."""
        for call, t0, more in getattr(self, "pending", {}).values():
            self.note("call", call=call, t0=t0, answer="none", **more)
        self.pending = {}
        self.note("cut", session=self.session)
        if self.left:
            self.left = False
            self.stay_away()
        elif self.cut:
            self.cut = False
            time.sleep(self.rng.choice([0.1, self.session * 0.5, self.session + 5]))
            # A worker that comes back may try to go on by other means.
            self.every_call()
        else:
            time.sleep(0.05 + self.rng.random() * 0.1)
        self.forget()

    def stay(self):
        """Whether it goes on with this connection."""
        if self.cut:
            # As a network does it: without a word.
            self.ws.socket.shutdown(socket.SHUT_RDWR)
            return False
        if any(call == "join" for call, *_ in self.pending.values()):
            return True
        if late := self.late_commit():
            self.commit(late[1], late[0])
        if self.moving:
            self.moving, self.left = False, True
            self.ask("leave", "unsubscribe")
            deadline = time.monotonic() + 2
            while self.pending and time.monotonic() < deadline:
                self.take(json.loads(self.ws.recv(timeout=2)))
            return False
        return True

    def ask(self, call, op, note=None, **members):
        self.ids += 1
        self.pending[self.ids] = (call, time.monotonic(), note or {})
        self.ws.send(json.dumps({"op": op, "id": self.ids, "sub": 1, **members}))

    def take(self, frame):
        op = frame["op"]
        if op in ("ok", "error"):
            self.answered(frame)
        elif op == "assigned":
            begins = frame["positions"].get(self.topic, {}).get("partitions", {})
            begins = {int(partition): place[1] for partition, place in begins.items()}
            holds = frame["partitions"].get(self.topic, [])
            self.told(frame["generation"], holds, self.revoking - set(holds), self.floor, says=holds, begins=begins)
        elif op in ("revoking", "revoked"):
            self.lose(op, set(frame["partitions"].get(self.topic, [])), frame["generation"])
        elif op == "records":
            records = [{"partition": frame["partition"], **record} for record in frame["records"]]
            self.process(frame["partition"], records, self.floor)
            if commits := self.commits():
                self.commit(commits)
        elif op == "lost":
            self.note("lost", p=frame["partition"], what=frame)
        elif op == "unsubscribed":
            code = frame["problem"]["code"]
            self.note("call", call="stay", t0=time.monotonic(), answer=code)
            if code in GONE:
                self.every_call()
            raise EOFError(code)

    def answered(self, frame):
        call, t0, more = self.pending.pop(frame["id"], ("nothing", time.monotonic(), {}))
        code = "ok" if frame["op"] == "ok" else frame["problem"]["code"]
        if call == "join" and code == "ok":
            more = {"session": self.session, "socket": True}
        if call == "commit" and code == "ok":
            more = {**more, "stands": {c["partition"]: c["offset"] for c in frame["commits"]}}
            for partition, at in more["commits"].items():
                self.committed[partition] = max(at, self.committed.get(partition, 0))
        self.note("call", call=call, t0=t0, answer=code, **more)
        # What comes from now on was said after this was asked.
        self.floor = max(self.floor, t0)
        if call in ("join", "leave") or code in GONE:
            if code in GONE:
                self.every_call()
            if call == "leave" or code != "ok":
                raise EOFError(code)

    def commit(self, commits, generation=None):
        body = self.commit_body(commits)
        generation = self.generation if generation is None else generation
        note = {"g": generation, "commits": commits}
        self.note("sent", **note)
        self.ask("commit", "commit", note, generation=generation, commits=body["commits"])

    def lose(self, op, partitions, generation):
        """Partitions are being revoked, or are gone."""
        revoking = (self.revoking | partitions) if op == "revoking" else self.revoking - partitions
        says = partitions if op == "revoking" else []
        self.told(generation, self.holds - partitions, revoking, self.floor, says=says)
        if op == "revoking" and self.rng.random() < 0.9:
            if commits := self.commits(partitions):
                self.commit(commits)
            self.ask("release", "release", partitions={self.topic: sorted(partitions)})
