"""As much of Kafka's protocol as it takes to see whether a cluster is ready.

A JVM for each look would cost a second; these are a few bytes. Only versions of requests without
tagged fields are used.
"""

import socket
import struct
from dataclasses import dataclass

METADATA, FIND_COORDINATOR, INIT_PRODUCER_ID = 3, 10, 22
GROUP, TRANSACTION = 0, 1
NO_NAME = struct.pack(">h", -1)
INTERNAL = ("__consumer_offsets", "__transaction_state")


class NotYet(Exception):
    """The cluster cannot do it now; says what is missing."""


@dataclass
class Partition:
    topic: str
    index: int
    leader: int
    replicas: list
    in_sync: list


@dataclass
class View:
    """The cluster as one broker sees it."""

    brokers: set
    partitions: list


class Answer:
    """Reads one answer from front to back."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, form):
        (value,) = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return value

    def text(self):
        length = self.take("h")
        if length < 0:
            return None
        self.at += length
        return self.data[self.at - length : self.at].decode()

    def list(self, read):
        return [read() for _ in range(self.take("i"))]

    def numbers(self):
        return self.list(lambda: self.take("i"))


def text(value):
    data = value.encode()
    return struct.pack(">h", len(data)) + data


def ask(port, api, version, body, seconds=2):
    """One request on a connection of its own. Raises NotYet if no answer comes."""
    request = struct.pack(">hhi", api, version, 1) + text("tests/kafka/cluster") + body
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=seconds) as wire:
            wire.sendall(struct.pack(">i", len(request)) + request)
            (length,) = struct.unpack(">i", read_exactly(wire, 4))
            # After the length comes the number of the request.
            return Answer(read_exactly(wire, length)[4:])
    except OSError as fault:
        raise NotYet(f"port {port} does not answer yet") from fault


def read_exactly(wire, length):
    data = b""
    while len(data) < length:
        more = wire.recv(length - len(data))
        if not more:
            raise ConnectionError("closed in the middle of an answer")
        data += more
    return data


def view(port):
    """All brokers and partitions that the broker at `port` knows."""
    every_topic_and_create_none = struct.pack(">i?", -1, False)
    answer = ask(port, METADATA, 4, every_topic_and_create_none)
    answer.take("i")
    brokers = set(answer.list(lambda: broker(answer)))
    answer.text()
    answer.take("i")
    return View(brokers, [one for topic in answer.list(lambda: topic_partitions(answer)) for one in topic])


def broker(answer):
    number = answer.take("i")
    answer.text(), answer.take("i"), answer.text()
    return number


def topic_partitions(answer):
    answer.take("h")
    name = answer.text()
    answer.take("?")
    return answer.list(lambda: partition(answer, name))


def partition(answer, topic):
    answer.take("h")
    index, leader = answer.take("i"), answer.take("i")
    return Partition(topic, index, leader, answer.numbers(), answer.numbers())


def coordinator(port, kind, name):
    """The node that coordinates `name`. The first such question makes the internal topic."""
    answer = ask(port, FIND_COORDINATOR, 1, text(name) + struct.pack(">b", kind))
    answer.take("i")
    error = answer.take("h")
    answer.text()
    if error:
        raise NotYet(f"no coordinator of {'groups' if kind == GROUP else 'transactions'} (error {error})")
    return answer.take("i")


def replicated_write(port, name):
    """A write that the cluster answers only when enough replicas have it: a transactional producer's id."""
    error = producer_id(port, text(name))
    if error:
        raise NotYet(f"a replicated write fails (error {error})")


def producer_id(port, name):
    """Asks for a producer's id; answers the error's number, 0 if there was none."""
    answer = ask(port, INIT_PRODUCER_ID, 0, name + struct.pack(">i", 60_000), seconds=5)
    answer.take("i")
    return answer.take("h")


def ready(ports):
    """Raises NotYet unless every broker of `ports` ({node: port}) is registered and replicates."""
    for node, port in ports.items():
        seen = view(port).brokers
        if seen != set(ports):
            raise NotYet(f"node {node} sees {len(seen)} of {len(ports)} brokers")
    first = next(iter(ports.values()))
    coordinator(first, GROUP, "ready")
    leader = coordinator(first, TRANSACTION, "ready")
    for node, port in ports.items():
        there = [one for one in view(port).partitions if one.topic in INTERNAL]
        if {one.topic for one in there} != set(INTERNAL):
            raise NotYet(f"node {node} does not know {' and '.join(INTERNAL)} yet")
        for one in there:
            if one.leader not in ports or sorted(one.in_sync) != sorted(one.replicas):
                raise NotYet(f"{one.topic}/{one.index} is on {one.in_sync} of {one.replicas}")
    replicated_write(ports[leader], "ready")
    for node, port in ports.items():
        # The first one of each broker is refused while it asks the controller for numbers to give.
        error = producer_id(port, NO_NAME)
        if error:
            raise NotYet(f"node {node} has no producer ids yet (error {error})")


def caught_up(node, asked):
    """Raises NotYet unless `node` is registered and in sync wherever there is a leader, as port `asked` sees it."""
    seen = view(asked)
    if node not in seen.brokers:
        raise NotYet(f"node {node} is not registered yet")
    behind = [one for one in seen.partitions if lags(one, node, seen.brokers)]
    if behind:
        first = f"{behind[0].topic}/{behind[0].index}"
        raise NotYet(f"node {node} is behind in {len(behind)} partitions, {first} the first")


def lags(one, node, brokers):
    return node in one.replicas and node not in one.in_sync and one.leader in brokers
