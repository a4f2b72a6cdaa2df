"""What the gateway survives, each on a real cluster of three brokers."""

import time

from eye import Eye
from gateways import Follower, KafkaGateway, Load, Refused

TOPIC = {"partitions": 3, "replication_factor": 3, "min_insync_replicas": 2}


def need(holds, what):
    if not holds:
        raise RuntimeError(what)


class World:
    """A topic on the cluster, gateways before it, publishers and followers."""

    def __init__(self, cluster, binary, topic, gateways=1):
        self.cluster, self.topic = cluster, topic
        self.brokers = cluster.address("PLAINTEXT")
        self.eye = Eye(self.brokers)
        self.gateways = [KafkaGateway(binary, self.brokers) for _ in range(gateways)]
        for gateway in self.gateways:
            gateway.start()
        self.gateways[0].call("PUT", f"/v1/topics/{topic}", TOPIC)
        for gateway in self.gateways[1:]:
            self.known(gateway)
        self.followers = [Follower(self.gateways, topic) for _ in range(3)]
        self.load = Load(self.gateways, topic)

    def known(self, gateway, seconds=20):
        deadline = time.monotonic() + seconds
        while True:
            try:
                return gateway.call("GET", f"/v1/topics/{self.topic}")
            except Refused:
                need(time.monotonic() < deadline, "the other gateway does not learn of the topic")
                time.sleep(0.1)

    def goes_on(self, more=200, seconds=60):
        """So many more records are acknowledged."""
        before, deadline = self.load.acknowledged(), time.monotonic() + seconds
        while self.load.acknowledged() < before + more:
            need(time.monotonic() < deadline, f"nothing goes on: {self.load.refusals[-3:]}")
            time.sleep(0.1)

    def prove(self):
        """Nothing acknowledged is lost, nobody saw a gap or a repeat, each refusal was honest."""
        load = self.load.end()
        self.eye.in_sync(self.topic)
        there = self.eye.names(self.topic)
        for name, place in load.book.items():
            if there.get(place) != name:
                raise RuntimeError(self.missing(name, place, there))
        times = {}
        for name in there.values():
            times[name] = times.get(name, 0) + 1
        twice = [name for name, count in times.items() if count > 1]
        need(not twice, f"stored more than once: {twice[:5]}")
        stored = times.keys()
        torn = [names for names in load.wholes if 0 < len(stored & set(names)) < len(names)]
        need(not torn, f"in the log in part: {torn[:2]}")
        need(not load.lies, f"done, and refused for certain before: {load.lies[:3]}")
        known = load.book.keys() | load.perhaps
        strange = [name for name in times if name not in known]
        need(not strange, f"refused for certain, and there all the same: {strange[:5]}")
        for follower in self.followers:
            follower.wait(len(there))
            follower.end()
            need(not follower.lost, f"a follower was told of a loss: {follower.lost}")
            need(not follower.wrong, f"a follower was refused: {follower.wrong[:2]}")
            for partition in range(TOPIC["partitions"]):
                seen = [offset for p, offset in follower.seen if p == partition]
                told = sorted(offset for p, offset in there if p == partition)
                need(seen == told, f"a follower saw {len(seen)} of {len(told)} records of {partition}: "
                     f"{differing(seen, told)}")
        reconnects = sum(f.reconnects for f in self.followers)
        return (f"{len(load.book)} records acknowledged, {len(load.refusals)} refusals, "
                f"{len(load.perhaps)} of unknown outcome, {load.repeats} keys sent again, {reconnects} reconnects")

    def missing(self, name, place, there):
        """What there is to know of a record that is not where it was said to be."""
        elsewhere = [at for at, found in there.items() if found == name]
        uncommitted = self.eye.names(self.topic, committed=False)
        near = {at: uncommitted[at] for at in sorted(uncommitted) if at[0] == place[0] and abs(at[1] - place[1]) < 8}
        seen = [place in follower.seen for follower in self.followers]
        whole = next((names for names in self.load.wholes if name in names), [])
        return (f"acknowledged {name} at {place} is {there.get(place)}, it is at {elsewhere}; of what belongs to it: "
                f"{ {other: self.load.book.get(other) for other in whole} }; followers saw the place: {seen}; "
                f"near it, committed or not: {near}")

    def close(self):
        self.load.ending.set()
        for follower in self.followers:
            follower.end()
        for gateway in self.gateways:
            gateway.kill()


def differing(seen, told):
    for index, (a, b) in enumerate(zip(seen, told)):
        if a != b:
            return f"at {index}: {a} instead of {b}"
    return "the rest is missing" if len(seen) < len(told) else "there is more"


def leader_killed(world):
    world.goes_on()
    leader = world.eye.leader(world.topic, 0)
    world.cluster.do("kill", leader)
    world.goes_on()
    world.cluster.do("restart", leader)
    world.eye.in_sync(world.topic)
    world.goes_on()


def broker_paused(world):
    world.goes_on()
    leader = world.eye.leader(world.topic, 1)
    world.cluster.do("pause", leader)
    time.sleep(8)
    world.goes_on()
    world.cluster.do("resume", leader)
    world.eye.in_sync(world.topic)
    world.goes_on()


def two_of_three_down(world):
    world.goes_on()
    for node in (2, 3):
        world.cluster.do("kill", node)
    time.sleep(9)
    # Long enough that whatever was under way is told.
    before = len(world.load.refusals)
    time.sleep(14)
    late = world.load.refusals[before:]
    need(late, "no publish was answered while two brokers were down")
    wrong = [str(r) for r in late if r.status not in (503, 504) or not r.problem["retryable"]]
    need(not wrong, f"refused in another way: {wrong[:3]}")
    for node in (2, 3):
        world.cluster.do("restart", node)
    world.eye.in_sync(world.topic, 90)
    world.goes_on()


def gateway_killed(world):
    world.goes_on()
    world.gateways[0].kill()
    world.goes_on()
    world.gateways[0].start()
    world.gateways[1].kill()
    world.goes_on()


def lone_gateway_killed(world):
    """Killed in the middle of whatever it does, and there again at once, three times."""
    for _ in range(3):
        world.goes_on()
        world.gateways[0].kill()
        world.gateways[0].start(45)
    world.goes_on()


def rolling_restart(world):
    world.goes_on()
    for node in (1, 2, 3):
        world.cluster.do("restart", node)
        world.eye.in_sync(world.topic)
        world.goes_on(100)


SURVIVES = [
    ("leader killed under load", leader_killed, 1),
    ("a broker paused and resumed", broker_paused, 1),
    ("two of three down", two_of_three_down, 1),
    ("a gateway killed with followers", gateway_killed, 2),
    ("a lone gateway killed and started again", lone_gateway_killed, 1),
    ("rolling restart of all brokers", rolling_restart, 2),
]


def survives(cluster, binary, number, what, gateways):
    world = World(cluster, binary, f"survives-{number}-{time.time_ns() // 1_000_000 % 10**8:x}", gateways)
    try:
        what(world)
        return world.prove()
    finally:
        world.close()


