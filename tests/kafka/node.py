"""One node's process: started from its folder, found again by its pid file, sent signals by pid."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from jars import HERE, Fault

HEAP = ["-Xms96m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]

# Stands in the log before each start.
STARTED = "== started\n"


def command(java, class_path, arguments, heap=()):
    logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
    return [java, *heap, logging, "-cp", class_path, *arguments]


def is_ending(pid):
    """Whether a process that has no name any more still holds what it had open.

    Its first thread may have ended, a zombie by then, while another still waits for the disk.
    """
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        stat = Path(f"/proc/{pid}/stat").read_text()
        nameless = not Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return nameless and (len(threads) > 1 or stat.rpartition(")")[2].split()[0] not in "ZX")


class Node:
    def __init__(self, number, folder, ports):
        self.number = number
        self.folder = folder
        self.ports = ports
        self.settings = folder / "server.properties"
        self.log = folder / "log"
        self.pid_file = folder / "pid"
        self.signalled = None

    def pid(self):
        """The pid of the running process; None if there is none. A pid that went to another program does not count."""
        try:
            pid = int(self.pid_file.read_text())
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        # Of a process that has ended but is not yet collected, the command line is empty.
        return pid if os.fsencode(self.settings) in words else None

    def state(self):
        """`running`, `paused` or `dead`."""
        pid = self.pid()
        if pid is None:
            return "dead"
        try:
            # The name in brackets may hold anything; the state is the word after it.
            stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return "dead"
        return "paused" if stat in "Tt" else "running"

    def memory(self):
        """Resident bytes; 0 of a dead one."""
        try:
            lines = Path(f"/proc/{self.pid()}/status").read_text().splitlines()
        except OSError:
            return 0
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:"))

    def start(self, java, class_path):
        arguments = command(java, class_path, ["kafka.Kafka", str(self.settings)], HEAP)
        with self.log.open("ab") as out:
            out.write(STARTED.encode())
            out.flush()
            process = subprocess.Popen(
                arguments,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                # A Ctrl-C at the terminal is for the one who waits, not for the broker.
                start_new_session=True,
            )
        self.pid_file.write_text(f"{process.pid}\n")
        # For a moment after its start a process has no command line, and would count as dead.
        while self.pid() is None and process.poll() is None:
            time.sleep(0.001)

    def signal(self, number):
        pid = self.pid()
        if pid is None:
            raise Fault(f"node {self.number} is dead: start it again with `restart {self.number}`")
        os.kill(pid, number)
        self.signalled = pid

    def ask_to_end(self):
        # It may be gone before it is asked, or between the two; that is what is wanted.
        with contextlib.suppress(Fault, ProcessLookupError):
            self.signal(signal.SIGTERM)
            # One that is paused hears it only when it goes on.
            self.signal(signal.SIGCONT)

    def wait_state(self, wanted):
        deadline = time.monotonic() + 10
        while self.state() != wanted:
            if time.monotonic() > deadline:
                raise Fault(f"node {self.number} is {self.state()}, not {wanted}")
            time.sleep(0.01)

    def wait_dead(self, deadline):
        """Whether it was gone by then, with all that it had open: a process loses its name before its ports."""
        while self.pid() is not None or is_ending(self.signalled):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def kill(self):
        with contextlib.suppress(Fault, ProcessLookupError):
            self.signal(signal.SIGKILL)
        if not self.wait_dead(time.monotonic() + 10):
            raise Fault(f"node {self.number} (pid {self.pid()}) outlives SIGKILL: its disk may hang")

    def last_words(self, lines=25, width=200):
        """The end of its log since it was started, with a line before it that says where it is."""
        try:
            told = self.log.read_text("utf-8", "replace").rpartition(STARTED)[2].splitlines()[-lines:]
        except OSError:
            told = []
        return "\n".join([f"The end of {self.log}:", *(line[:width] for line in told)])
