"""An independent eye: another Kafka client, which knows nothing of the gateway."""

import json
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic


class Eye:
    def __init__(self, brokers):
        self.brokers = brokers
        self.admin = AdminClient({"bootstrap.servers": brokers})

    def leader(self, topic, partition):
        return self.admin.list_topics(topic, timeout=20).topics[topic].partitions[partition].leader

    def in_sync(self, topic, seconds=60):
        """Waits until every partition has all its replicas in sync."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                found = self.admin.list_topics(topic, timeout=20).topics[topic].partitions.values()
                if found and all(p.leader >= 0 and len(p.isrs) == len(p.replicas) for p in found):
                    return
            except KafkaException:
                pass
            time.sleep(0.3)
        raise RuntimeError(f"{topic} is not in sync again after {seconds} s")

    def create(self, topic, partitions, replication=-1, config=None):
        new = NewTopic(topic, partitions, replication, config=config or {})
        self.admin.create_topics([new])[topic].result(30)

    def delete(self, topic):
        self.admin.delete_topics([topic])[topic].result(30)

    def producer(self, **config):
        return Producer({"bootstrap.servers": self.brokers, **config})

    def ends(self, topic, partitions):
        """Where the log of each partition ends, committed or not."""
        consumer = Consumer({
            "bootstrap.servers": self.brokers, "group.id": "eye", "isolation.level": "read_uncommitted",
        })
        found = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=20)[1] for p in partitions}
        consumer.close()
        return found

    def read(self, topic, seconds=60, committed=True):
        """Everything (that is committed): (partition, offset) -> message, in the order of each.

        Kafka answers a commit when it is certain, and marks it in each partition behind that: until then,
        what readers of the committed take for the end lies before it.
        """
        consumer = Consumer({
            "bootstrap.servers": self.brokers, "group.id": "eye", "enable.auto.commit": False,
            "isolation.level": "read_committed" if committed else "read_uncommitted", "enable.partition.eof": True,
        })
        partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
        ends = self.ends(topic, partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        found, ended = {}, set()
        deadline = time.monotonic() + seconds
        while len(ended) < len(partitions):
            message = consumer.poll(1)
            if time.monotonic() > deadline:
                raise RuntimeError(f"the topic cannot be read to its end: {ended} of {ends}")
            if message is None:
                continue
            if not message.error():
                found[message.partition(), message.offset()] = message
            elif message.offset() >= ends[message.partition()]:
                ended.add(message.partition())
        consumer.close()
        return found

    def names(self, topic, committed=True):
        """As `read`, but the name in each value."""
        return {place: json.loads(m.value())["name"] for place, m in self.read(topic, committed=committed).items()}
