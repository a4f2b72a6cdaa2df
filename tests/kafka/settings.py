"""What is made for a cluster before its first start: ports, settings, certificates, formatted folders."""

import random
import shutil
import socket
import subprocess
from pathlib import Path

from jars import Fault

CLIENT_PROTOCOLS = ("PLAINTEXT", "SASL_PLAINTEXT", "SSL", "SASL_SSL")
LISTENERS = ("PLAINTEXT", "CONTROLLER", "SASL_PLAINTEXT", "SSL", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
USER = "tidegate"

# The same for every node. Few threads and small buffers, since all nodes share one machine; short
# times, since tests wait for each of them.
COMMON = r"""
process.roles=broker,controller
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,\
 PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.dedupe.buffer.size=2097152

# A joining group need not wait for more members, and a dead member is missed soon.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# A killed or paused broker is out of the cluster after so long.
broker.session.timeout.ms=6000
# What is deleted, trimmed or compacted is so within seconds.
log.segment.delete.delay.ms=1000
log.retention.check.interval.ms=5000
log.cleaner.backoff.ms=1000
"""


def least_in_sync(nodes):
    return 2 if len(nodes) > 1 else 1


def replication(nodes):
    """How often everything is kept: with one broker alone, once."""
    factor, least = len(nodes), least_in_sync(nodes)
    return f"""\
default.replication.factor={factor}
min.insync.replicas={least}
offsets.topic.replication.factor={factor}
offsets.topic.num.partitions=3
transaction.state.log.replication.factor={factor}
transaction.state.log.min.isr={least}
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor={factor}
share.coordinator.state.topic.min.isr={least}
share.coordinator.state.topic.num.partitions=3
"""


def own(node, ports, folder, password, tls):
    """What differs from node to node, and the listeners' secrets."""
    voters = ",".join(f"{other}@127.0.0.1:{theirs['CONTROLLER']}" for other, theirs in ports.items())
    listeners = ",".join(f"{name}://127.0.0.1:{ports[node][name]}" for name in LISTENERS)
    advertised = ",".join(f"{name}://127.0.0.1:{ports[node][name]}" for name in CLIENT_PROTOCOLS)
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule"
    jaas = "".join(
        f'listener.name.{name}.plain.sasl.jaas.config={plain} required user_{USER}="{password}";\n'
        f"listener.name.{name}.scram-sha-256.sasl.jaas.config={scram} required;\n"
        f"listener.name.{name}.scram-sha-512.sasl.jaas.config={scram} required;\n"
        for name in ("sasl_plaintext", "sasl_ssl")
    )
    return f"""\
node.id={node}
controller.quorum.voters={voters}
listeners={listeners}
advertised.listeners={advertised}
log.dirs={folder / "data"}
sasl.enabled.mechanisms={",".join(MECHANISMS)}
{jaas}\
ssl.keystore.type=PEM
ssl.keystore.location={tls / "server.pem"}
"""


def write(node, ports, folder, password, tls):
    """The node's settings, as a file in its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [COMMON, replication(ports), own(node, ports, folder, password, tls)]
    file = folder / "server.properties"
    file.write_text("\n".join(parts))
    file.chmod(0o600)


def fixed_ports(nodes):
    """Node N: PLAINTEXT N9092, CONTROLLER N9093, SASL_PLAINTEXT N9094, SSL N9095, SASL_SSL N9096."""
    return {node: {name: node * 10_000 + 9092 + at for at, name in enumerate(LISTENERS)} for node in nodes}


def free_ports(nodes):
    """Ports that nobody has now, and that a killed broker will find free again: below those of outgoing connections."""
    try:
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        lowest = 32768
    candidates = random.sample(range(10_000, max(lowest, 20_000)), 1000)
    found = (port for port in candidates if is_free(port))
    return {node: {name: next(found) for name in LISTENERS} for node in nodes}


def is_free(port):
    with socket.socket() as probe:
        # As the broker will: a port that its predecessor left a moment ago counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def certificates(folder):
    """An authority, and a certificate of it for 127.0.0.1 and localhost, as PEM."""
    if not shutil.which("openssl"):
        raise Fault("openssl is not installed, and certificates are made with it: `apt-get install openssl`")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "names").write_text(
        "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n"
    )
    key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    openssl(folder, f"req -x509 {key} -keyout ca.key -out ca.pem -days 365 -subj", "/CN=tidegate test authority")
    openssl(folder, f"req {key} -keyout server.key -out server.csr -subj", "/CN=localhost")
    sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 365 -extfile names -out server.crt"
    openssl(folder, sign)
    chain = [(folder / name).read_text() for name in ("server.key", "server.crt", "ca.pem")]
    (folder / "server.pem").write_text("".join(chain))


def openssl(folder, arguments, *more):
    command = ["openssl", *arguments.split(), *more]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Fault(f"`{' '.join(command)}` failed:\n{done.stderr.strip()}")


def format_folders(run, folders, cluster_id, password):
    """Formats every node's folder, all at once; `run` starts a Java class and answers the process."""
    scram = [f"{name}=[name={USER},password={password}]" for name in MECHANISMS if name.startswith("SCRAM")]
    command = ["kafka.tools.StorageTool", "format", "-t", cluster_id]
    command += [part for one in scram for part in ("--add-scram", one)]
    under_way = [(folder, run([*command, "-c", str(folder / "server.properties")])) for folder in folders]
    for folder, process in under_way:
        told, _ = process.communicate()
        if process.returncode:
            raise Fault(f"{folder} could not be formatted:\n{told.strip()[-2000:]}")
