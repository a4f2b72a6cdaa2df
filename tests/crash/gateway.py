"""A gateway as a child process, and the few calls the crash tests make."""

import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.parse

# Volumes so small that they roll, seal, trim and copy all the time.
SMALL = [
    "--sled-roll-bytes", "4MiB",
    "--sled-cache-active-bytes", "32MiB",
    "--sled-open-sealed", "2",
]


class Gone(Exception):
    """The gateway did not answer: what was asked may or may not have happened."""


class Refused(Exception):
    """The gateway answered with a problem."""

    def __init__(self, status, problem):
        super().__init__(f"{status} {problem}")
        self.status = status
        self.problem = problem


class Gateway:
    """`tidegate serve` on a free port, over a data directory."""

    def __init__(self, binary, data, extra=()):
        self.args = [binary, "serve", "--listen", "127.0.0.1:0", "--data-dir", data, *SMALL, *extra]
        self.process = None
        self.log = []
        self.port = None

    def start(self, seconds=60):
        """Starts it and waits until it listens. Raises RuntimeError if it ends first."""
        self.process = subprocess.Popen(
            self.args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.log = []
        reader = threading.Thread(target=self._drain, args=(self.process,), daemon=True)
        reader.start()
        began = time.monotonic()
        found = {}

        def wait_line():
            for line in self.process.stdout:
                match = re.search(r"listening on http://[^:]+:(\d+)", line)
                if match:
                    found["port"] = int(match.group(1))
                    return

        waiter = threading.Thread(target=wait_line, daemon=True)
        waiter.start()
        waiter.join(seconds)
        if "port" not in found:
            self.kill()
            raise RuntimeError(f"the gateway did not start:\n{''.join(self.log[-30:])}")
        self.port = found["port"]
        while True:
            try:
                if self.call("GET", "/readyz")[0] == 200:
                    break
            except (Gone, Refused):
                pass
            if time.monotonic() - began > seconds:
                raise RuntimeError("the gateway did not become ready")
            time.sleep(0.02)
        return time.monotonic() - began

    def _drain(self, process):
        for line in process.stderr:
            self.log.append(line)
            del self.log[:-2000]

    def kill(self):
        """SIGKILL, by pid."""
        if self.process and self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGKILL)
        if self.process:
            self.process.wait()

    def stop(self, seconds=60):
        """SIGTERM; returns the exit code."""
        os.kill(self.process.pid, signal.SIGTERM)
        return self.process.wait(seconds)

    def call(self, method, path, body=None, headers=None):
        """One request on a connection of its own: status and parsed answer."""
        client = Client(self.port)
        try:
            return client.call(method, path, body, headers)
        finally:
            client.close()


class Client:
    """One keep-alive connection."""

    def __init__(self, port):
        self.http = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def close(self):
        self.http.close()

    def call(self, method, path, body=None, headers=None):
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("content-type", "application/json")
        try:
            self.http.request(method, path, body=body, headers=headers)
            answer = self.http.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.http.close()
            raise Gone(str(error)) from error
        parsed = json.loads(data) if data and "json" in (answer.headers.get("content-type") or "") else data
        if answer.status >= 400:
            raise Refused(answer.status, parsed)
        return answer.status, parsed

    def publish(self, topic, records, durability=None, key=None):
        """Publishes; returns the answer's list of places."""
        return self.publish_whole(topic, records, key, durability)["records"]

    def publish_whole(self, topic, records, key=None, durability=None):
        """Publishes; returns the whole answer."""
        query = f"?durability={durability}" if durability else ""
        headers = {"idempotency-key": key} if key else {}
        return self.call("POST", f"/v1/topics/{topic}/records{query}", {"records": records}, headers)[1]

    def read_from(self, topic, start=None, cursor=None, limit=5000):
        """One page."""
        args = {"limit": limit, "max_bytes": 8 << 20}
        args["cursor" if cursor else "from"] = cursor or start or "earliest"
        return self.call("GET", f"/v1/topics/{topic}/records?{urllib.parse.urlencode(args)}")[1]

    def read_all(self, topic, cursor=None):
        """Every record up to the tail, what was lost, and the cursor at the end."""
        records, lost = [], []
        while True:
            page = self.read_from(topic, cursor=cursor)
            records += page["records"]
            lost += page.get("lost") or []
            cursor = page["cursor"]
            if page["at_tail"]:
                return records, lost, cursor
