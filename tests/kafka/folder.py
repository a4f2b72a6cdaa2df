"""A cluster as it lies on the disk: `cluster.json`, certificates, and a folder for each node."""

import base64
import contextlib
import json
import secrets
import shutil
import subprocess
import uuid
from pathlib import Path

import jars
import settings
from jars import Fault
from node import Node, command

# All that a cluster's folder may hold; nothing else is ever removed.
OWN = ("cluster.json", "cluster.json.new", "tls", "node-1", "node-2", "node-3")


class Cluster:
    """`told` is what cluster.json says; None where no cluster has been made."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve()
        self.file = self.folder / "cluster.json"
        self.told = None
        self.nodes = {}
        if self.file.exists():
            self.told = json.loads(self.file.read_text())
            self.take({int(node): ports for node, ports in self.told["ports"].items()})

    def take(self, ports):
        self.nodes = {node: Node(node, self.folder / f"node-{node}", theirs) for node, theirs in ports.items()}

    def bootstrap(self):
        return self.told["bootstrap"]["PLAINTEXT"]

    def in_state(self, state):
        return [node for node in self.nodes.values() if node.state() == state]

    def make(self, ports, java, class_path):
        """Everything up to `cluster.json`, which comes last: where it is, the folders are whole."""
        if self.folder.exists() and any(entry.name not in OWN for entry in self.folder.iterdir()):
            raise Fault(f"{self.folder} holds other things: name an empty folder, or a new one, with --dir")
        self.clear()
        self.take(ports)
        tls = self.folder / "tls"
        password = secrets.token_hex(12)
        settings.certificates(tls)
        for node in self.nodes.values():
            settings.write(node.number, ports, node.folder, password, tls)

        def run(arguments):
            return subprocess.Popen(
                command(java, class_path, arguments),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )

        # One that begins with a dash would be taken for an option.
        cluster_id = "-"
        while cluster_id.startswith("-"):
            cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        settings.format_folders(run, [node.folder for node in self.nodes.values()], cluster_id, password)
        self.told = described(ports, cluster_id, password, tls)
        draft = self.folder / "cluster.json.new"
        draft.write_text(json.dumps(self.told, indent=2) + "\n")
        draft.rename(self.file)

    def clear(self):
        """Removes what `make` made, and the folder if nothing else is in it."""
        for name in OWN:
            entry = self.folder / name
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()
        self.told = None


def described(ports, cluster_id, password, tls):
    """What a client needs to know."""
    return {
        "kafka": jars.kafka_version(),
        "cluster_id": cluster_id,
        "replication_factor": len(ports),
        "min_insync_replicas": settings.least_in_sync(ports),
        "bootstrap": {
            name: ",".join(f"127.0.0.1:{theirs[name]}" for theirs in ports.values())
            for name in settings.CLIENT_PROTOCOLS
        },
        "sasl": {"mechanisms": list(settings.MECHANISMS), "username": settings.USER, "password": password},
        "tls": {"ca": str(tls / "ca.pem")},
        "ports": ports,
    }
