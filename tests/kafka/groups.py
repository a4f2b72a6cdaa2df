"""Groups on a real cluster: shared with another program, over several gateways, and what they survive."""

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from confluent_kafka import KafkaException
from eye import Eye
from gateways import KafkaGateway, Refused
from members import Book, OtherMember, RestMember

PARTITIONS = 8
TOPIC = {"partitions": PARTITIONS}
FLAGS = ["--kafka-group-session", "6s", "--group-revoke-grace", "10s"]


def need(holds, what):
    if not holds:
        raise RuntimeError(what)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Groups:
    """A topic, gateways that know of each other, and what is produced by another program."""

    def __init__(self, cluster, binary, gateways):
        self.cluster, self.brokers = cluster, cluster.address("PLAINTEXT")
        self.topic = f"groups-{time.time_ns() // 1_000_000 % 10**8:x}"
        self.group, self.book, self.eye = f"of-{self.topic}", Book(), Eye(self.brokers)
        self.produced, self.members, self.gateways = 0, [], []
        for _ in range(gateways):
            port = free_port()
            gateway = KafkaGateway(binary, self.brokers, [*FLAGS, "--advertise", f"http://127.0.0.1:{port}"])
            gateway.args[gateway.args.index("127.0.0.1:0")] = f"127.0.0.1:{port}"
            self.gateways.append(gateway)
            gateway.start()
        self.gateways[0].call("PUT", f"/v1/topics/{self.topic}", TOPIC)
        for gateway in self.gateways[1:]:
            self.soon("the other gateway knows the topic", lambda g=gateway: self.knows(g))

    def knows(self, gateway):
        try:
            return gateway.call("GET", f"/v1/topics/{self.topic}")
        except Refused:
            return None

    def ports(self):
        return [gateway.port for gateway in self.gateways if gateway.process.poll() is None]

    def rest(self, name, ports=None):
        member = RestMember(ports or self.ports, self.group, self.topic, name, self.book)
        self.members.append(member)
        return member

    def other(self, name):
        member = OtherMember(self.brokers, self.group, self.topic, name, self.book)
        self.members.append(member)
        return member

    def produce(self, count):
        producer = self.eye.producer(**{"enable.idempotence": True})
        for _ in range(count):
            producer.produce(self.topic, b"x", partition=self.produced % PARTITIONS)
            self.produced += 1
        need(producer.flush(60) == 0, "not all was produced")

    def soon(self, what, look, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            found = look()
            if found:
                return found
            if time.monotonic() > deadline:
                codes = [(m.name, m.joins, m.codes[-5:]) for m in self.members if isinstance(m, RestMember)]
                raise RuntimeError(f"not within {seconds} s: {what}; {self.book.processed()} of {self.produced} "
                                   f"processed; {codes}; {self.described()}")
            time.sleep(0.2)

    def described(self):
        for gateway in self.gateways:
            try:
                return gateway.call("GET", f"/v1/groups/{self.group}")[1]
            except Exception as error:
                last = error
        return last

    def shared_out(self, members):
        """So many members hold all partitions between them, each something."""
        told = self.described()
        if not isinstance(told, dict) or told["state"] != "stable" or len(told["members"]) != members:
            return False
        held = [sum(map(len, m["assignment"].values())) for m in told["members"]]
        return sum(held) == PARTITIONS and all(held)

    def all_processed(self, seconds=60):
        self.soon("all is processed", lambda: self.book.processed() >= self.produced, seconds)
        need(self.book.processed() == self.produced, "more was processed than there is")
        need(not self.book.wrong, f"{self.book.wrong[:3]}")

    def lag(self):
        return self.soon("no lag is left", lambda: self.described().get("lag") == 0)

    def close(self):
        for member in self.members:
            member.ending.set()
        for member in self.members:
            member.end()
        for gateway in self.gateways:
            gateway.kill()


def with_another_program(world):
    """A member of another program joins and leaves; each record is processed once."""
    world.rest("rest")
    world.produce(400)
    world.soon("one holds all", lambda: world.shared_out(1))
    other = world.other("other")
    world.soon("two share", lambda: world.shared_out(2))
    world.produce(800)
    world.all_processed()
    need(set(world.book.by) == {"rest", "other"}, f"{world.book.by}")
    other.end()
    world.members.remove(other)
    world.soon("one holds all again", lambda: world.shared_out(1))
    world.produce(400)
    world.all_processed()
    world.lag()
    need(not world.book.twice(), f"twice: {world.book.twice()[:5]}")
    return f"{world.book.by}"


def round_robin(world):
    """Members behind nginx, each call at the gateway whose turn it is."""
    if not shutil.which("nginx"):
        return "SKIPPED: needs nginx"
    folder, port = Path(tempfile.mkdtemp(prefix="tidegate-nginx-")), free_port()
    servers = "".join(f"server 127.0.0.1:{port}; " for port in world.ports())
    (folder / "nginx.conf").write_text(f"""
        daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
        events {{ worker_connections 256; }}
        http {{
            access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
            fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
            upstream gateways {{ {servers} }}
            server {{ listen 127.0.0.1:{port}; location / {{ proxy_set_header Host $http_host; proxy_pass http://gateways; }} }}
        }}""")
    nginx = subprocess.Popen(["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        members = [world.rest(f"member-{n}", lambda: [port]) for n in range(4)]
        world.produce(400)
        world.soon("four share", lambda: world.shared_out(4))
        world.produce(1_200)
        world.all_processed()
        world.lag()
        need(not world.book.twice(), f"twice: {world.book.twice()[:5]}")
        need(all(m.joins == 1 for m in members), f"joined again: {[(m.joins, m.codes) for m in members]}")
        for member in members:
            member.end()
        world.members.clear()
        world.soon("all have left", lambda: world.described().get("state") == "empty")
        return f"{world.book.by}"
    finally:
        nginx.terminate()
        nginx.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


def coordinator_killed(world):
    for n in range(3):
        world.rest(f"member-{n}")
    world.produce(400)
    world.soon("three share", lambda: world.shared_out(3))
    told = world.eye.admin.describe_consumer_groups([world.group])[world.group].result(20)
    node = told.coordinator.id
    world.cluster.do("kill", node)
    try:
        world.produce(400)
        world.all_processed(90)
    finally:
        world.cluster.do("restart", node)
    world.eye.in_sync(world.topic)
    world.produce(400)
    world.all_processed(90)
    world.lag()
    return f"{world.book.by}, {len(world.book.twice())} twice"


def gateway_killed(world):
    members = [world.rest(f"member-{n}") for n in range(4)]
    world.produce(400)
    world.soon("four share", lambda: world.shared_out(4))
    world.gateways[0].kill()
    begun = time.monotonic()
    world.produce(400)
    world.all_processed(90)
    took = time.monotonic() - begun
    world.gateways[0].start()
    world.produce(400)
    world.all_processed(90)
    world.lag()
    joins = sum(m.joins for m in members)
    return f"{world.book.by}, {len(world.book.twice())} twice, {joins} joins, {took:.1f} s until all went on"


GROUPS = [
    ("shared with another program", with_another_program, 1),
    ("two gateways behind nginx", round_robin, 2),
    ("the coordinator killed", coordinator_killed, 1),
    ("a gateway killed with members", gateway_killed, 2),
]


def groups(cluster, binary, what, gateways):
    world = Groups(cluster, binary, gateways)
    try:
        return what(world)
    except KafkaException as error:
        raise RuntimeError(f"the independent client: {error}") from error
    finally:
        world.close()
