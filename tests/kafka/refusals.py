"""Bad input, wrong credentials, and the ways into the cluster: each its answer, and no hang."""

import shutil
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from eye import Eye
from gateways import KafkaGateway, Refused


# A cluster that stays up may have the topics of an earlier run.
RUN = f"{time.time_ns() // 1_000_000 % 10**8:x}"


def need(holds, what):
    if not holds:
        raise RuntimeError(what)


def refused(call, *codes):
    try:
        answer = call()
    except Refused as refusal:
        need(refusal.problem["code"] in codes, f"refused with {refusal}")
        return refusal
    raise RuntimeError(f"not refused: {answer}")


def started(gateway):
    gateway.start()
    return gateway


def unreachable_at_start(cluster, binary):
    gateway = KafkaGateway(binary, "127.0.0.1:1", ["--kafka-start-timeout", "3s"])
    begun = time.monotonic()
    code, said = gateway.fails_to_start()
    need(code == 1 and "no Kafka broker can be reached at 127.0.0.1:1" in said, f"{code}: {said[-300:]}")
    return f"exit code 1 after {time.monotonic() - begun:.1f} s"


def wrong_password(cluster, binary):
    for mechanism in ("plain", "scram-sha-512"):
        flags = ["--kafka-sasl-mechanism", mechanism, "--kafka-sasl-username", cluster.told["sasl"]["username"]]
        env = {"TIDEGATE_KAFKA_SASL_PASSWORD": "not-the-password"}
        gateway = KafkaGateway(binary, cluster.address("SASL_PLAINTEXT"), flags, env)
        code, said = gateway.fails_to_start()
        need(code == 1 and "refuses the gateway" in said, f"{mechanism}: {code}: {said[-300:]}")
        need("not-the-password" not in said, "the password was shown")
    return "PLAIN and SCRAM"


def logs_in(cluster, binary):
    """Every way of TLS and SASL, for real."""
    sasl, ca = cluster.told["sasl"], cluster.told["tls"]["ca"]
    secret = Path(tempfile.mkdtemp(prefix="tidegate-secret-")) / "password"
    secret.write_text(sasl["password"] + "\n")
    tls = ["--kafka-tls", "--kafka-tls-ca", ca]
    user = ["--kafka-sasl-username", sasl["username"]]
    by_file = [*user, "--kafka-sasl-password-file", str(secret)]
    by_env = {"TIDEGATE_KAFKA_SASL_PASSWORD": sasl["password"]}
    ways = [
        ("SSL", tls, None),
        ("SASL_PLAINTEXT", [*by_file, "--kafka-sasl-mechanism", "plain"], None),
        ("SASL_PLAINTEXT", [*user, "--kafka-sasl-mechanism", "scram-sha-256"], by_env),
        ("SASL_SSL", [*tls, *by_file, "--kafka-sasl-mechanism", "scram-sha-512"], None),
    ]
    for number, (listener, flags, env) in enumerate(ways):
        gateway = started(KafkaGateway(binary, cluster.address(listener), flags, env))
        try:
            topic = f"logs-in-{number}-{RUN}"
            gateway.call("PUT", f"/v1/topics/{topic}", {"partitions": 2})
            records = {"records": [{"key": str(n), "value": n} for n in range(4)]}
            gateway.call("POST", f"/v1/topics/{topic}/records", records)
            page = gateway.call("GET", f"/v1/topics/{topic}/records?from=earliest")[1]
            need(len(page["records"]) == 4, f"{listener}: {page}")
        finally:
            gateway.kill()
    shutil.rmtree(secret.parent)
    return f"{len(ways)} ways"


def wrong_certificate(cluster, binary):
    flags = ["--kafka-tls", "--kafka-start-timeout", "10s"]
    code, said = KafkaGateway(binary, cluster.address("SSL"), flags).fails_to_start()
    need(code == 1 and "certificate" in said, f"{code}: {said[-300:]}")
    return "refused"


def bad_requests(cluster, binary):
    gateway = started(KafkaGateway(binary, cluster.address("PLAINTEXT")))
    eye = Eye(cluster.address("PLAINTEXT"))
    try:
        for name in ("__own", "__consumer_offsets"):
            refused(lambda name=name: gateway.call("PUT", f"/v1/topics/{name}", {}), "engine_refused")
        gateway.call("PUT", f"/v1/topics/dot.{RUN}", {})
        refused(lambda: gateway.call("PUT", f"/v1/topics/dot_{RUN}", {}), "engine_refused")
        refused(lambda: gateway.call("PUT", "/v1/topics/copies", {"replication_factor": 9}), "engine_refused")
        small = {"max.message.bytes": "2000"}
        eye.create(f"small-{RUN}", 1, config=small)
        eye.create(f"past-{RUN}", 1, config={"message.timestamp.before.max.ms": "3600000"})
        eye.create(f"huge-{RUN}", 1_025, 1)
        known(gateway, f"small-{RUN}", f"past-{RUN}")
        fits = {"records": [{"text": "x" * 1_400}]}
        with ThreadPoolExecutor(8) as pool:
            # Many at once are not put into one batch that is refused.
            list(pool.map(lambda _: gateway.call("POST", f"/v1/topics/small-{RUN}/records", fits), range(40)))
        for large in ([{"text": "x" * 1_900}], fits["records"] * 2):
            refused(
                lambda large=large: gateway.call("POST", f"/v1/topics/small-{RUN}/records", {"records": large}),
                "record_too_large", "engine_refused",
            )
        old = {"records": [{"value": 1, "timestamp": 1}]}
        refused(lambda: gateway.call("POST", f"/v1/topics/past-{RUN}/records", old), "engine_refused")
        deadline = time.monotonic() + 20
        while True:
            refusal = refused(lambda: gateway.call("GET", f"/v1/topics/huge-{RUN}"), "engine_refused", "topic_unknown")
            if refusal.problem["code"] == "engine_refused":
                break
            need(time.monotonic() < deadline, "a topic of too many partitions is not told as such")
            time.sleep(0.2)
        eye.delete(f"huge-{RUN}")
        return "names, copies, sizes, times, partitions"
    finally:
        gateway.kill()


def known(gateway, *topics, seconds=20):
    deadline = time.monotonic() + seconds
    for topic in topics:
        while True:
            try:
                gateway.call("GET", f"/v1/topics/{topic}")
                break
            except Refused as refusal:
                need(time.monotonic() < deadline, f"{topic}: {refusal}")
                time.sleep(0.1)


def deleted_behind(cluster, binary):
    """A topic that another program deletes, with a reader attached, and makes again."""
    gateway = started(KafkaGateway(binary, cluster.address("PLAINTEXT")))
    eye = Eye(cluster.address("PLAINTEXT"))
    try:
        gateway.call("PUT", f"/v1/topics/behind-{RUN}", {"partitions": 1})
        gateway.call("POST", f"/v1/topics/behind-{RUN}/records", {"records": [{"value": 1}]})
        cursor = gateway.call("GET", f"/v1/topics/behind-{RUN}/records?from=earliest")[1]["cursor"]
        eye.delete(f"behind-{RUN}")
        begun = time.monotonic()
        publish = {"records": [{"value": 2}]}
        refusal = refused(
            lambda: gateway.call("POST", f"/v1/topics/behind-{RUN}/records", publish),
            "topic_unknown", "unavailable", "outcome_unknown",
        )
        while True:
            try:
                gateway.call("GET", f"/v1/topics/behind-{RUN}")
            except Refused as refusal:
                need(refusal.problem["code"] == "topic_unknown", str(refusal))
                break
            need(time.monotonic() < begun + 30, "a deleted topic is still served")
            time.sleep(0.1)
        gone = time.monotonic() - begun
        eye.create(f"behind-{RUN}", 1)
        known(gateway, f"behind-{RUN}")
        refused(lambda: gateway.call("GET", f"/v1/topics/behind-{RUN}/records?cursor={cursor}"), "cursor_topic_gone")
        need(gateway.call("GET", f"/v1/topics/behind-{RUN}/records?from=earliest")[1]["records"] == [], "old records")
        gateway.call("POST", f"/v1/topics/behind-{RUN}/records", publish)
        return f"gone after {gone:.1f} s"
    finally:
        gateway.kill()


REFUSALS = [
    ("no broker answers", unreachable_at_start),
    ("a wrong password", wrong_password),
    ("TLS and SASL", logs_in),
    ("a certificate that nobody vouches for", wrong_certificate),
    ("bad requests", bad_requests),
    ("a topic deleted behind the gateway", deleted_behind),
]
