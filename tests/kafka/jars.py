"""Kafka's own artifacts: fetched once from Maven Central, kept in `.cache/kafka/lib`."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".cache/kafka"
LIB = CACHE / "lib"
POM = HERE / "pom.xml"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
MINUTE = 60


class Fault(Exception):
    """What went wrong, and what to do about it, for the person at the keyboard."""


def kafka_version():
    return re.search(r"kafka_2\.13</artifactId>\s*<version>([^<]+)<", POM.read_text())[1]


def java():
    """The path of a Java that can run the broker."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else None
    found = found or shutil.which("java")
    if not found:
        raise Fault("java is not installed: `apt-get install default-jre-headless` (17 or newer)")
    told = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', told)
    if version and int(version[1]) < 17:
        raise Fault(f"{found} is Java {version[1]}, and Kafka needs 17 or newer: install one, or set JAVA_HOME")
    return found


def class_path(progress):
    """The class path of the broker; fetches it if the POM is not the one it was made from."""
    mark = hashlib.sha256(POM.read_bytes()).hexdigest()
    stamp = LIB / "made-from"
    if not is_made(stamp, mark):
        CACHE.mkdir(parents=True, exist_ok=True)
        with open(CACHE / "lib.lock", "w") as lock:
            # Two tests that start at once fetch once.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_made(stamp, mark):
                progress(f"fetching Kafka {kafka_version()} from Maven Central")
                fetch()
                stamp.write_text(mark)
    return f"{LIB}/*"


def is_made(stamp, mark):
    return stamp.exists() and stamp.read_text() == mark


def fetch():
    mvn = shutil.which("mvn")
    if not mvn:
        raise Fault("mvn is not installed, and Kafka is fetched with it: `apt-get install maven`")
    shutil.rmtree(LIB, ignore_errors=True)
    command = [mvn, "-q", "-B", "-Dstyle.color=never", "-f", str(POM), COPY]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={LIB}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=15 * MINUTE, check=False)
    except subprocess.TimeoutExpired:
        raise Fault("mvn did not fetch Kafka in 15 minutes: is repo.maven.apache.org reachable?") from None
    if done.returncode:
        told = (done.stdout + done.stderr).strip()
        # After the first line mvn explains how to make it say more.
        first = next((line for line in told.splitlines() if "ERROR" in line), told[-2000:])
        raise Fault(f"mvn could not fetch Kafka; is repo.maven.apache.org reachable?\n{first}")
