"""What members, publishers and the gateway's end and start write down, one JSON object a line.

All processes are on one machine and use its monotonic clock, so that their events have one order.

    told   m life kind t floor g says holds revoking begins   what a member was told of its partitions
    read   m life t floor p g records                         it processed these: [[offset, name], …]
    call   m life t0 t call answer …                          a request: "ok", an error's code, or "none"
           call=commit: g commits {p: next} stands {p: next}; call=join, and of a poll: session, wait
    sent   m life t g commits           a commit is about to be asked for: of one that dies no answer is written
    lost   m life t p …                                       it was told that records are gone
    cut    m life t session                                   a WebSocket is gone, seen by its member
    seen   t0 t g state members {m: {holds, revoking}} commits {p: next}   the group, described
    server t what                                             the gateway: killed, started
    fault  t what m …                                         what was done to a member

`floor` is a time before which the gateway has not said this: when the poll was sent, or, on a WebSocket,
the newest request that was answered before. `says` are the partitions that the member has for certain in
generation `g`; `holds` those of which it may get records.
"""

import json
import os
import time
from dataclasses import dataclass, field


class Book:
    """Writes events. A line is one write, so that a killed process leaves none behind in part."""

    def __init__(self, path, **always):
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.always = always

    def note(self, event, **more):
        told = {"e": event, "t": time.monotonic(), **self.always, **more}
        os.write(self.file, (json.dumps(told, separators=(",", ":")) + "\n").encode())


@dataclass
class History:
    """All that is known of a run."""

    events: list
    # name -> (partition, offset) of what was acknowledged, and the names of which it is not known.
    acked: dict = field(default_factory=dict)
    doubt: set = field(default_factory=set)
    # partition -> [(offset, name)], read back at the end.
    log: dict = field(default_factory=dict)
    # The last description: state, members, commits.
    final: dict = None
    # Whether generations of different members can be compared.
    ordered_generations: bool = True

    def __post_init__(self):
        self.events = sorted(self.events, key=lambda event: event["t"])


def load(paths):
    """The events of these books, with partitions as numbers again."""
    events = []
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            events += [numbered(json.loads(line)) for line in lines if line.endswith("\n")]
    return events


def numbered(event):
    for name in ("begins", "commits", "stands"):
        if name in event:
            event[name] = {int(partition): at for partition, at in event[name].items()}
    return event
