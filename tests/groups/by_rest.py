"""A member by REST: polls with its last cursor, on whichever gateway answers."""

import time

from member import GONE, WAIT, Member


class RestMember(Member):
    cursor = None

    def run(self):
        while not self.ending:
            if self.join():
                self.stay()
        if self.generation:
            self.call("leave", "DELETE", f"/members/{self.id}")

    def join(self):
        t0 = time.monotonic()
        code, answer = self.call("join", "POST", "/members", self.join_body(), session=self.session)
        if code != "ok":
            time.sleep(0.1)
            return False
        self.cursor = None
        # What was told before is void: it begins from the commits.
        self.forget()
        self.hear(answer, t0)
        return True

    def hear(self, answer, floor):
        """Notes what it holds, where that is news."""
        holds = set(answer["assignment"].get(self.topic, []))
        revoking = set(answer["revoking"].get(self.topic, []))
        if (answer["generation"], holds, revoking) != (self.generation, self.holds, self.revoking):
            self.told(answer["generation"], holds, revoking, floor)

    def stay(self):
        """A member until it is none."""
        while not self.ending:
            if self.moving:
                self.moving = False
                self.call("leave", "DELETE", f"/members/{self.id}")
                self.stay_away()
                return self.forget()
            if self.cut:
                # It is silent for a while, with what it has done.
                self.cut = False
                time.sleep(self.rng.choice([0.3, self.session * 0.5, self.session + 5]))
            if late := self.late_commit():
                self.commit_call(late[1], late[0])
            code = self.rng.choice([self.poll, self.poll, self.poll, self.commit])()
            if code in GONE:
                self.every_call()
                return self.forget()
            if code not in ("ok", "fenced"):
                time.sleep(0.05)

    def poll(self):
        t0 = time.monotonic()
        body = {"limit": self.rng.choice([1, 10, 100]), "wait_ms": int(self.rng.random() * WAIT * 1000)}
        if self.cursor:
            body["cursor"] = self.cursor
        code, page = self.call("poll", "POST", f"/members/{self.id}/poll", body, wait=WAIT)
        if code != "ok":
            return code
        self.hear(page, t0)
        if page["lost"]:
            self.note("lost", p=page["lost"][0]["partition"], what=page["lost"])
        parts = {}
        for record in page["records"]:
            parts.setdefault(record["partition"], []).append(record)
        for partition, records in parts.items():
            self.process(partition, records, t0)
        self.cursor = page["cursor"]
        if self.revoking and self.rng.random() < 0.9:
            return self.let_go()
        if commits := self.commits():
            return self.commit_call(commits)[0]
        return code

    def commit(self):
        commits = self.commits()
        return self.commit_call(commits)[0] if commits else "ok"

    def let_go(self):
        """Commits what it has done of what is being revoked, and releases that."""
        code = "ok"
        if commits := self.commits(self.revoking):
            code = self.commit_call(commits)[0]
        if code in ("ok", "fenced"):
            t0 = time.monotonic()
            body = {"partitions": {self.topic: sorted(self.revoking)}}
            code, lease = self.call("release", "POST", f"/members/{self.id}/release", body)
            if code == "ok":
                # What came new is read once a poll has told of it, with its place.
                lease["assignment"] = {self.topic: sorted(self.holds & set(lease["assignment"].get(self.topic, [])))}
                revoking = set(lease["revoking"].get(self.topic, []))
                self.told(lease["generation"], lease["assignment"][self.topic], revoking, t0,
                          says=self.holds_of(lease) | revoking)
        return code

    def holds_of(self, lease):
        return set(lease["assignment"].get(self.topic, []))
