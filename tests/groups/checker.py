"""What a group's history may not show. Pure: from a history to its violations.

What a log and a group promise, and the name of each breach:

    log-lost       acknowledged, and not in the log where it was said to be
    log-twice      in the log more than once
    log-strange    in the log, and never published
    lost           in the log, and processed by nobody
    phantom        processed, and not in the log: it was read before it was durable
    reordered      processed after a later one, or again, within one ownership
    skipped        passed over within one ownership, though no commit lies behind it
    misplaced      an ownership that begins where nobody has committed
    repeated       processed again though it had been committed before
    unheld         read of a partition that the member was not told to hold
    two-owners     a partition that two members have in one generation
    unfenced       a commit taken from one who had lost the partition
    commit-back    the group stands before where it stood
    zombie         a member that was told that it is none, and is served before it joined again
    overslept      a member that was silent past its timeout, and is served as if it had not been
    told-lost      a member was told that records are gone, of a log that keeps all
    strange        an answer that no call should get
    unsettled      at the end: not stable, without an owner, out of balance, or not all committed

An ownership is what one process, or one connection, reads of a partition from when it is told that it
holds it until it is told that it does not. Between two of them a record may be processed twice, unless
the group had committed it before the second was given it.
"""

import bisect
from collections import defaultdict
from dataclasses import dataclass

# Of a poll that waits when its member stops, and of a gateway that is busy.
SLACK = 3.5

NO_MEMBER = {"member_expired", "member_unknown", "group_unknown"}
REFUSALS = NO_MEMBER | {
    "fenced", "member_replaced", "unavailable", "outcome_unknown", "subscription_unknown", "none", "ok",
}


UNSURE = {"none", "unavailable", "outcome_unknown"}


@dataclass
class Violation:
    """One breach: its kind, what it is, and where to look."""

    kind: str
    text: str
    partition: int = None
    offset: int = None
    t: float = None


def check(history):
    """All violations of a history, in the order of its kinds."""
    found = []
    for part in (log, processed, ownerships, repeats, owners, fences, commits, sessions, answers, end):
        found += part(history)
    return found


def log(history):
    """What was published, against what is in the log."""
    there = defaultdict(list)
    for partition, records in history.log.items():
        for offset, name in records:
            there[name].append((partition, offset))
    for name, place in history.acked.items():
        if place not in there.get(name, []):
            text = f"{name} was acknowledged at {place} and is at {there.get(name, 'no place')}"
            yield Violation("log-lost", text, *place)
    for name, places in there.items():
        if len(places) > 1:
            yield Violation("log-twice", f"{name} is at {places}", *places[1])
        if name not in history.acked and name not in history.doubt:
            yield Violation("log-strange", f"{name} at {places[0]} was refused, or never published", *places[0])


def processed(history):
    """What was processed, against what is in the log."""
    there = {(p, offset): name for p, records in history.log.items() for offset, name in records}
    seen = set()
    for event in of(history, "read"):
        for offset, name in event["records"]:
            place = (event["p"], offset)
            seen.add(place)
            if there.get(place) != name:
                text = f"{event['m']} processed {name} at {place}, where the log has {there.get(place)}"
                yield Violation("phantom", text, *place, event["t"])
    for place, name in there.items():
        if place not in seen:
            known = "acknowledged" if name in history.acked else "not acknowledged, but durable"
            yield Violation("lost", f"{name} at {place} ({known}) was processed by nobody", *place)


class Places:
    """Where a group may begin: at the start of a partition, and at what anybody tried to commit."""

    def __init__(self, history):
        self.log = {p: [offset for offset, _ in records] for p, records in history.log.items()}
        self.tried = defaultdict(dict)
        for event in of(history, "sent"):
            for partition, at in event["commits"].items():
                self.tried[partition].setdefault(self.first_from(partition, at), event["t"])

    def first_from(self, partition, at):
        """The first offset in the log at or behind a place; offsets may have gaps."""
        offsets = self.log.get(partition, [])
        index = bisect.bisect_left(offsets, at)
        return offsets[index] if index < len(offsets) else None

    def may_begin(self, partition, offset, by):
        """Whether a reader may come to `offset` by a commit that was sent before `by`."""
        sent = self.tried[partition].get(offset)
        return offset == self.first_from(partition, 0) or (sent is not None and sent <= by)


def ownerships(history):
    """Order within ownerships, where they begin, and that nothing is read without one."""
    places, last, held = Places(history), {}, defaultdict(set)
    for event in of(history, "told", "read"):
        life = event["life"]
        if event["e"] == "told":
            for partition in held[life] - set(event["holds"]) | event.get("begins", {}).keys():
                last.pop((life, partition), None)
            held[life] = set(event["holds"])
            continue
        partition = event["p"]
        if partition not in held[life]:
            text = f"{life} reads {first_of(event)} of {partition} and was told to hold {sorted(held[life])}"
            yield Violation("unheld", text, partition, event["records"][0][0], event["t"])
        for offset, name in event["records"]:
            before = last.get((life, partition))
            last[life, partition] = max(offset, before if before is not None else offset)
            if wrong := misstep(places, partition, before, offset, event["t"]):
                text = f"{life} processes {name}, offset {offset} of {partition}, after {before}: {wrong[1]}"
                yield Violation(wrong[0], text, partition, offset, event["t"])


def misstep(places, partition, before, offset, t):
    """What is wrong with a reader that comes from `before` (None: it begins) to `offset`."""
    if before is None:
        fine = places.may_begin(partition, offset, t)
        return None if fine else ("misplaced", "nobody had committed that place")
    if offset <= before:
        return "reordered", "again, in one ownership" if offset == before else "out of order"
    wanted = places.first_from(partition, before + 1)
    if offset == wanted or wanted is None or wanted > offset or places.may_begin(partition, offset, t):
        return None
    return "skipped", f"{wanted} was to come"


class Highest:
    """The highest of some numbers that came in the order of time."""

    def __init__(self):
        self.times, self.upto = [], []

    def add(self, t, number):
        self.times.append(t)
        self.upto.append(max(number, self.upto[-1] if self.upto else 0))

    def before(self, t):
        """That of those before `t`; 0 where there is none."""
        index = bisect.bisect_left(self.times, t)
        return self.upto[index - 1] if index else 0


def committed_by(history):
    """How far the group had certainly committed at a time: what was answered, partition by partition."""
    committed = defaultdict(Highest)
    for event in of(history, "call", "seen"):
        if event["e"] == "seen" or (event["call"], event["answer"]) == ("commit", "ok"):
            said = event.get("stands", {})
            for partition, at in event["commits"].items():
                committed[partition].add(event["t"], max(at, said.get(partition, 0)))
    return committed


def repeats(history):
    """Nothing is given out that had been committed before it was asked for."""
    committed, seen = committed_by(history), {}
    for event in of(history, "told", "read"):
        if event["e"] == "told":
            for partition, at in event.get("begins", {}).items():
                upto = committed[partition].before(event["floor"])
                if at < upto:
                    text = f"{event['life']} is to begin at {at} of {partition}, committed up to {upto}"
                    yield Violation("repeated", text, partition, at, event["t"])
            continue
        partition, upto = event["p"], committed[event["p"]].before(event["floor"])
        for offset, name in event["records"]:
            if offset < upto:
                earlier = seen.get((partition, offset), "nobody")
                text = (f"{event['life']} processes {name}, offset {offset} of {partition}, "
                        f"committed up to {upto} before; processed by {earlier} at first")
                yield Violation("repeated", text, partition, offset, event["t"])
            seen.setdefault((partition, offset), event["life"])


def owners(history):
    """In one generation nobody has what another has."""
    has = {}
    # What an observer sees is of one instant only where one gateway coordinates the group.
    for event in of(history, "told", *(["seen"] if history.ordered_generations else [])):
        if event["e"] == "told":
            claims = [(event["m"], partition) for partition in event["says"]]
        else:
            claims = [(m, p) for m, lease in event["members"].items() for p in lease["holds"] + lease["revoking"]]
        for member, partition in claims:
            owner = has.setdefault((event["g"], partition), member)
            if owner != member:
                text = f"in generation {event['g']} both {owner} and {member} have partition {partition}"
                yield Violation("two-owners", text, partition, None, event["t"])


class Given:
    """Who was told last that it has a partition: by generation, or by the time of it."""

    def __init__(self):
        self.times, self.newest = [], []

    def add(self, event, age):
        # The newest of two members: one of them is not the one that commits.
        best = {told[1]["m"]: told for told in self.newest[-1]} if self.newest else {}
        known = best.get(event["m"])
        if known is None or known[0] < age:
            best[event["m"]] = (age, event)
        self.times.append(event["t"])
        self.newest.append(sorted(best.values(), key=lambda told: -told[0])[:2])

    def to_another(self, member, t, age):
        """What somebody else was told before `t`, newer than `age`."""
        index = bisect.bisect_right(self.times, t)
        for other, event in self.newest[index - 1] if index else []:
            if event["m"] != member and other > age:
                return event
        return None


def fences(history):
    """No commit is taken of what is another's, or under a lease from before the partition was lost."""
    first, given, lost = {}, defaultdict(Given), losses(history)
    for event in of(history, "told"):
        first.setdefault((event["m"], event["g"]), event["t"])
        for partition in event["says"]:
            given[partition].add(event, event["g"] if history.ordered_generations else event["floor"])
    for event in of(history, "call"):
        if event["call"] != "commit" or event["answer"] != "ok":
            continue
        age = event["g"] if history.ordered_generations else first.get((event["m"], event["g"]), float("inf"))
        for partition, at in event["commits"].items():
            if (newest := lost[event["m"], partition].before(event["t0"])) > event["g"]:
                text = (f"{event['life']} committed {at} of {partition} in generation {event['g']}, "
                        f"and was told in {newest} that it had lost it")
                yield Violation("unfenced", text, partition, at, event["t"])
            elif other := given[partition].to_another(event["m"], event["t0"], age):
                text = (f"{event['life']} committed {at} of {partition} in generation {event['g']}, "
                        f"after {other['life']} was told that it has it in {other['g']}")
                yield Violation("unfenced", text, partition, at, event["t"])


def losses(history):
    """When each member was told that it had lost which partition, and in which generation."""
    lost, had = defaultdict(Highest), defaultdict(set)
    for event in of(history, "told"):
        has = {*event["holds"], *event["revoking"]}
        for partition in had[event["m"]] - has:
            lost[event["m"], partition].add(event["t"], event["g"])
        had[event["m"]] |= has
    return lost


def commits(history):
    """Where the group stands is never before where it was said to stand earlier."""
    stood = committed_by(history)
    for event in of(history, "call", "seen"):
        if event["e"] == "call" and (event["call"], event["answer"]) != ("commit", "ok"):
            continue
        for partition, own in event["commits"].items():
            at, floor = event.get("stands", event["commits"]).get(partition, 0), stood[partition].before(event["t0"])
            if at < max(floor, own):
                who = event.get("life", "an observer")
                text = f"{who} is told that the group stands at {at} of {partition}; it stood at {max(floor, own)}"
                yield Violation("commit-back", text, partition, at, event["t"])


def sessions(history):
    """Whoever is no member any more is refused in every call, until it joins again."""
    gone, alive, session = {}, {}, {}
    for event in of(history, "call", "cut", "server"):
        if event["e"] == "server":
            # A gateway that comes back gives all a whole session.
            alive = {m: max(until, event["t"] + session.get(m, 0)) for m, until in alive.items()}
            continue
        member, answered = event["m"], event.get("answer") == "ok"
        if event["e"] == "cut":
            alive[member] = event["t"] + session.get(member, 0)
            continue
        if event["call"] == "join":
            # One without an answer may have been done.
            if answered or event["answer"] in UNSURE:
                gone.pop(member, None)
                alive[member] = float("inf")
            if answered:
                session[member] = event["session"]
                # It may have waited long for the group, and counts from its answer.
                alive[member] = float("inf") if event.get("socket") else event["t"] + event["session"]
            continue
        if answered and member in gone and event["t0"] > gone[member]["t"]:
            told = gone[member]
            text = f"the {told['call']} of {member} was answered {told['answer']}, and its {event['call']} is served"
            yield Violation("zombie", text, None, None, event["t"])
        late = event["t0"] - alive.get(member, float("inf"))
        if answered and late > SLACK:
            text = f"the {event['call']} of {member} is answered {late:.1f} s after its session was over"
            yield Violation("overslept", text, None, None, event["t"])
        if answered and event["call"] == "leave":
            gone[member] = event
        elif answered:
            waited = event["t0"] + event.get("wait", 0) + session.get(member, 0)
            alive[member] = max(alive.get(member, 0), waited)
        elif event["answer"] in NO_MEMBER:
            gone.setdefault(member, event)


def answers(history):
    """Nothing is refused for a reason that cannot be, and nothing is said to be gone."""
    for event in of(history, "call", "lost"):
        if event["e"] == "lost":
            text = f"{event['life']} was told of a loss: {event['what']}"
            yield Violation("told-lost", text, event.get("p"), None, event["t"])
        elif event["answer"] not in REFUSALS:
            text = f"the {event['call']} of {event['life']} was answered {event['answer']}"
            yield Violation("strange", text, None, None, event["t"])


def end(history):
    """When all is quiet, every partition has one owner, in balance, and all is committed."""
    final = history.final
    if final is None:
        return
    if final["state"] != "stable":
        yield Violation("unsettled", f"the group is {final['state']}")
    held = [p for lease in final["members"].values() for p in lease["holds"]]
    for partition, records in history.log.items():
        if held.count(partition) != 1:
            yield Violation("unsettled", f"partition {partition} has {held.count(partition)} owners", partition)
        behind = [offset for offset, _ in records if offset >= final["commits"].get(partition, 0)]
        if behind:
            text = f"{len(behind)} records of {partition} were not committed at the end"
            yield Violation("unsettled", text, partition, behind[0])
    counts = [len(lease["holds"]) for lease in final["members"].values()]
    if counts and max(counts) - min(counts) > 1:
        yield Violation("unsettled", f"out of balance: members hold {sorted(counts)} partitions")


def of(history, *kinds):
    return [event for event in history.events if event["e"] in kinds]


def first_of(event):
    return f"{event['records'][0][1]} (offset {event['records'][0][0]})"


def around(history, violation, seconds=6.0, most=30):
    """The events of a violation's partition before and after it, as lines."""
    at = violation.t
    if at is None:
        at = next((event["t"] for event in of(history, "read") if concerns(event, violation)), None)
    near = [
        event for event in history.events
        if touches(event, violation.partition) and (at is None or abs(event["t"] - at) <= seconds)
    ]
    near.sort(key=lambda event: abs(event["t"] - (at or 0)))
    begun = history.events[0]["t"] if history.events else 0
    return [line(event, begun) for event in sorted(near[:most], key=lambda event: event["t"])]


def concerns(event, violation):
    offsets = [offset for offset, _ in event["records"]]
    return event["p"] == violation.partition and violation.offset is not None and offsets[-1] >= violation.offset


def touches(event, partition):
    if event["e"] in ("server", "fault", "cut"):
        return True
    if partition is None:
        return event["e"] != "read"
    named = [*event.get("says", []), *event.get("commits", {}), event.get("p")]
    return partition in named and event["e"] != "seen"


def line(event, begun):
    """One event for the eye."""
    told = {name: value for name, value in event.items() if name not in ("e", "t", "t0", "floor", "m", "records")}
    if records := event.get("records"):
        told["records"] = f"{records[0][0]}..{records[-1][0]}"
    since = f" (since {event['t0'] - begun:.3f})" if "t0" in event else ""
    said = " ".join(f"{name}={value}" for name, value in told.items())
    return f"{event['t'] - begun:9.3f}{since} {event['e']} {said}"
