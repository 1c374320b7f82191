"""kafka-python against Headrace: client.py produce|continue|verify BOOTSTRAP.

Record i of every topic python-{codec} and java-{codec}: the functions below. kcat's topics have other values and no
timestamps of their own; only their keys, offsets and headers are compared.
"""

import os
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
RECORDS = 500
FIRST_PART = 200


def key(i):
    return b"key-%d" % i


def value(i):
    return b"value-%d-" % i + bytes((i * k) % 256 for k in range(i * 37 % 2000))


def headers(i):
    return [("trace", b"%d" % i), ("bytes", bytes([0, 255, i % 256]))]


def timestamp(i):
    return int(os.environ["FIRST_TIMESTAMP_MS"]) + i * 1000


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: got {got!r}, wanted {wanted!r}")


def compare(record, i):
    where = f"{record.topic} record {i}"
    expect(f"{where}: offset", record.offset, i)
    expect(f"{where}: key", record.key, key(i))
    if record.topic.startswith("kcat-"):
        expect(f"{where}: headers", list(record.headers), [("trace", b"kcat")])
        return
    expect(f"{where}: value", record.value, value(i))
    expect(f"{where}: headers", [(k, bytes(v)) for k, v in record.headers], headers(i))
    expect(f"{where}: timestamp", record.timestamp, timestamp(i))


def take(consumer, first, count):
    """Reads exactly records first..first+count and compares them."""
    i = first
    idle = 0
    while i < first + count:
        polled = consumer.poll(timeout_ms=1000, max_records=first + count - i)
        idle = 0 if polled else idle + 1
        if idle > 30:
            sys.exit(f"nothing came for 30 s; next wanted record {i}")
        for records in polled.values():
            for record in records:
                compare(record, i)
                i += 1


def read_with_group(bootstrap, codec, first, count):
    consumer = KafkaConsumer(
        f"python-{codec}", bootstrap_servers=bootstrap, group_id=f"python-group-{codec}",
        auto_offset_reset="earliest", enable_auto_commit=False, fetch_max_wait_ms=50)
    take(consumer, first, count)
    consumer.commit()
    consumer.close()


def produce(bootstrap):
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(name=f"python-{c}", num_partitions=1, replication_factor=1) for c in CODECS])
    admin.close()
    for codec in CODECS:
        producer = KafkaProducer(
            bootstrap_servers=bootstrap, acks="all", linger_ms=20,
            compression_type=None if codec == "none" else codec)
        sent = [producer.send(f"python-{codec}", key=key(i), value=value(i), headers=headers(i), timestamp_ms=timestamp(i))
                for i in range(RECORDS)]
        producer.flush()
        for i, future in enumerate(sent):
            expect(f"python-{codec}: acknowledged offset", future.get(timeout=30).offset, i)
        producer.close()
        read_with_group(bootstrap, codec, 0, FIRST_PART)


def go_on(bootstrap):
    for codec in CODECS:
        read_with_group(bootstrap, codec, FIRST_PART, RECORDS - FIRST_PART)


def verify(bootstrap):
    for client in ["kcat", "python", "java"]:
        for codec in CODECS:
            consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
            partition = TopicPartition(f"{client}-{codec}", 0)
            consumer.assign([partition])
            consumer.seek_to_beginning(partition)
            take(consumer, 0, RECORDS)
            expect("log end", consumer.end_offsets([partition])[partition], RECORDS)
            consumer.close()


{"produce": produce, "continue": go_on, "verify": verify}[sys.argv[1]](sys.argv[2])
