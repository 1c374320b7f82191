"""confluent-kafka-python, a current librdkafka: confluent.py BOOTSTRAP [CHECK]."""

import itertools
import threading
import time

from checks import SECONDS_MAX, Checks, expect, same, unique, until
from confluent_kafka import (OFFSET_BEGINNING, ConsumerGroupState, ConsumerGroupTopicPartitions, ConsumerGroupType, Consumer, ElectionType,
                             IsolationLevel, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition)
from confluent_kafka.admin import (AclBindingFilter, AclOperation, AclPermissionType, AdminClient, AlterConfigOpType, ConfigEntry,
                                   ConfigResource, ConfigSource, NewPartitions, NewTopic, OffsetSpec, ResourcePatternType, ResourceType)

CHECKS = Checks()
COUNTER = itertools.count()
# Not long ago, since records older than retention.ms are removed.
FIRST_TIMESTAMP = int(time.time() * 1000) - 3_600_000
ADMIN = AdminClient({"bootstrap.servers": CHECKS.bootstrap})


def done(futures, seconds=30):
    """The results of an admin call, by what was asked."""
    return {key: future.result(seconds) for key, future in futures.items()}


def refused(code, call):
    try:
        got = call()
    except KafkaException as failure:
        same("error", failure.args[0].name(), code)
        return
    raise AssertionError(f"wanted {code}, got {got!r}")


def topic(name, partitions=1, config=None):
    made = unique(f"{name}-{next(COUNTER)}")
    done(ADMIN.create_topics([NewTopic(made, partitions, 1, config=config or {})]))
    return made


def produce(to, records, partitions=1, first=0, **settings):
    """Writes v-first .. and gives the offsets as they were told, by value."""
    told, failures = {}, []

    def tell(failure, message):
        if failure:
            failures.append(failure)
        else:
            told[message.value().decode()] = (message.partition(), message.offset())

    producer = Producer({"bootstrap.servers": CHECKS.bootstrap, "linger.ms": 5, **settings})
    for i in range(first, first + records):
        while True:
            try:
                producer.produce(to, f"v-{i}", f"k-{i}", partition=i % partitions, on_delivery=tell,
                                 timestamp=FIRST_TIMESTAMP + i, headers=[("n", str(i)), ("none", None)])
                break
            except BufferError:
                producer.poll(0.1)
    same("not delivered", producer.flush(60), 0)
    if failures:
        raise KafkaException(failures[0])
    return told


def consumer(group, protocol="classic", **settings):
    config = {"bootstrap.servers": CHECKS.bootstrap, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False,
              "fetch.wait.max.ms": 100, "topic.metadata.refresh.interval.ms": 1000, "group.protocol": protocol, **settings}
    if protocol == "classic":
        config.setdefault("session.timeout.ms", 6000)
        config.setdefault("heartbeat.interval.ms", 500)
    return Consumer(config)


def take(reader, count):
    got, end = [], time.monotonic() + SECONDS_MAX
    while len(got) < count:
        expect(f"only {len(got)} of {count} records within the time", time.monotonic() < end)
        message = reader.poll(0.5)
        if message is not None:
            if message.error():
                raise KafkaException(message.error())
            got.append(message)
    return got


# --- producer ---------------------------------------------------------------------------------------------------------
def codecs(**settings):
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        name = topic(f"confluent-{codec}")
        told = produce(name, 1000, **{"compression.type": codec, **settings})
        same("offsets", [told[f"v-{i}"][1] for i in range(1000)], list(range(1000)))
        reader = consumer(unique(f"confluent-{codec}"))
        reader.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
        for i, message in enumerate(take(reader, 1000)):
            same("record", (message.offset(), message.key(), message.value(), message.timestamp()[1], message.headers()),
                 (i, b"k-%d" % i, b"v-%d" % i, FIRST_TIMESTAMP + i, [("n", b"%d" % i), ("none", None)]))
        reader.close()


def too_large():
    name = topic("confluent-large", config={"max.message.bytes": "10000"})
    producer = Producer({"bootstrap.servers": CHECKS.bootstrap})
    told = []
    producer.produce(name, b"x" * 50_000, on_delivery=lambda failure, message: told.append(failure))
    producer.flush(30)
    same("refused", [failure.name() for failure in told], ["MSG_SIZE_TOO_LARGE"])


def unknown_partition():
    name = topic("confluent-partition")
    producer = Producer({"bootstrap.servers": CHECKS.bootstrap, "message.timeout.ms": 5000})
    try:
        producer.produce(name, b"x", partition=7)
        producer.flush(10)
    except KafkaException as failure:
        same("refused", failure.args[0].name(), "_UNKNOWN_PARTITION")


def compacted():
    name = topic("confluent-compacted", config={"cleanup.policy": "compact"})
    told = []
    producer = Producer({"bootstrap.servers": CHECKS.bootstrap})
    producer.produce(name, b"no key", on_delivery=lambda failure, message: told.append(failure))
    producer.flush(30)
    same("refused", [failure.name() for failure in told], ["INVALID_RECORD"])


# --- consumer ---------------------------------------------------------------------------------------------------------
def reads_and_goes_on(protocol):
    name, group = topic("confluent-group", 3), unique(f"confluent-group-{protocol}")
    produce(name, 300, 3)
    reader = consumer(group, protocol)
    reader.subscribe([name])
    take(reader, 300)
    reader.commit(asynchronous=False)
    same("committed", sum(part.offset for part in reader.committed([TopicPartition(name, i) for i in range(3)], timeout=10)), 300)
    reader.close()
    produce(name, 60, 3, first=300)
    reader = consumer(group, protocol)
    reader.subscribe([name])
    same("goes on", {message.value() for message in take(reader, 60)}, {b"v-%d" % i for i in range(300, 360)})
    reader.close()


class Member:
    def __init__(self, name, group, protocol, **settings):
        self.owned, self.seen, self.stop = set(), set(), threading.Event()
        self.reader = consumer(group, protocol, **settings)
        self.reader.subscribe([name], on_assign=lambda _, parts: self.owned.update(part.partition for part in parts),
                              on_revoke=lambda _, parts: self.owned.difference_update(part.partition for part in parts),
                              on_lost=lambda _, parts: self.owned.difference_update(part.partition for part in parts))
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.stop.is_set():
            message = self.reader.poll(0.1)
            if message is not None and not message.error():
                self.seen.add(message.value())
        self.reader.close()

    def end(self):
        self.stop.set()
        self.thread.join(30)


def spread(members, partitions):
    owned = [part for member in members for part in member.owned]
    return sorted(owned) == list(range(partitions)) and all(len(member.owned) >= partitions // len(members) for member in members)


def sharing(protocol, **settings):
    name, group = topic("confluent-sharing", 6), unique(f"confluent-sharing-{protocol}-{len(settings)}")
    members = [Member(name, group, protocol, **settings) for _ in range(3)]
    until("two each", lambda: spread(members, 6))
    produce(name, 120, 6)
    until("120 records", lambda: len(set().union(*(member.seen for member in members))) == 120)
    members.pop().end()
    until("three each", lambda: spread(members, 6))
    for member in members:
        member.end()


def static_member(protocol):
    name, group = topic("confluent-static", 4), unique(f"confluent-static-{protocol}")
    one = Member(name, group, protocol, **{"group.instance.id": "one"})
    two = Member(name, group, protocol, **{"group.instance.id": "two"})
    until("two each", lambda: spread([one, two], 4))
    before = set(one.owned)
    one.end()
    again = Member(name, group, protocol, **{"group.instance.id": "one"})
    until("two each again", lambda: spread([again, two], 4))
    same("the same partitions", again.owned, before)
    again.end()
    two.end()


def pattern(protocol):
    one = topic(f"confluent-pattern-{protocol}-one")
    produce(one, 5)
    reader = consumer(unique(f"confluent-pattern-{protocol}"), protocol)
    reader.subscribe([f"^confluent-pattern-{protocol}-.*{one.rsplit('-', 1)[1]}"])
    take(reader, 5)
    reader.commit(asynchronous=False)
    two = topic(f"confluent-pattern-{protocol}-two")
    produce(two, 5)
    expect("the new topic's records", {message.topic() for message in take(reader, 5)} == {two})
    reader.close()


def positions():
    name = topic("confluent-positions")
    produce(name, 100)
    reader = consumer(unique("confluent-positions"))
    same("watermarks", reader.get_watermark_offsets(TopicPartition(name, 0), timeout=10), (0, 100))
    found = reader.offsets_for_times([TopicPartition(name, 0, FIRST_TIMESTAMP + 42)], timeout=10)
    same("by time", found[0].offset, 42)
    reader.assign([TopicPartition(name, 0, 90)])
    same("assigned", take(reader, 10)[0].offset(), 90)
    reader.seek(TopicPartition(name, 0, 50))
    same("sought", take(reader, 50)[0].offset(), 50)
    reader.pause([TopicPartition(name, 0)])
    same("paused", reader.poll(0.5), None)
    reader.resume([TopicPartition(name, 0)])
    same("nothing committed", reader.committed([TopicPartition(name, 0)], timeout=10)[0].offset < 0, True)
    same("position", reader.position([TopicPartition(name, 0)])[0].offset, 100)
    reader.close()


def commit_metadata():
    name = topic("confluent-metadata")
    reader = consumer(unique("confluent-metadata"))
    part = TopicPartition(name, 0, 7, metadata="said")
    same("committed", reader.commit(offsets=[part], asynchronous=False)[0].error, None)
    back = reader.committed([TopicPartition(name, 0)], timeout=10)[0]
    same("back", (back.offset, back.metadata), (7, "said"))
    reader.close()


def end_of_partition():
    name = topic("confluent-eof")
    produce(name, 3)
    reader = consumer(unique("confluent-eof"), **{"enable.partition.eof": True})
    reader.assign([TopicPartition(name, 0, OFFSET_BEGINNING)])
    seen = []
    until("the end", lambda: (message := reader.poll(0.5)) is not None and (
        seen.append(message.value()) if not message.error() else message.error().code() == KafkaError._PARTITION_EOF))
    same("records before the end", len(seen), 3)
    reader.close()


def out_of_range():
    name = topic("confluent-range")
    produce(name, 3)
    reader = consumer(unique("confluent-range"), **{"auto.offset.reset": "error"})
    reader.assign([TopicPartition(name, 0, 1000)])
    message = until("an error", lambda: reader.poll(0.5))
    same("error", message.error().name(), "_AUTO_OFFSET_RESET")
    reader.close()


# --- admin ------------------------------------------------------------------------------------------------------------
def cluster():
    found = ADMIN.describe_cluster(request_timeout=10).result(20)
    same("nodes", len(found.nodes), 1)
    expect("an id", bool(found.cluster_id))
    expect("a controller", found.controller is not None)


def topics():
    name = topic("confluent-topics", 3)
    expect("listed", name in ADMIN.list_topics(timeout=10).topics)
    found = done(ADMIN.describe_topics(TopicCollection([name])))[name]
    same("partitions", len(found.partitions), 3)
    expect("an id", bool(found.topic_id))
    refused("TOPIC_ALREADY_EXISTS", lambda: done(ADMIN.create_topics([NewTopic(name, 1, 1)])))
    refused("INVALID_REPLICATION_FACTOR", lambda: done(ADMIN.create_topics([NewTopic(unique("confluent-rf"), 1, 3)])))
    refused("INVALID_CONFIG", lambda: done(ADMIN.create_topics([NewTopic(unique("confluent-bad"), 1, 1, config={"no.such": "1"})])))
    done(ADMIN.create_topics([NewTopic(unique("confluent-validated"), 1, 1)], validate_only=True))
    expect("validated only", unique("confluent-validated") not in ADMIN.list_topics(timeout=10).topics)
    done(ADMIN.delete_topics([name]))
    refused("UNKNOWN_TOPIC_OR_PART", lambda: done(ADMIN.delete_topics([unique("confluent-nothing")])))


def partitions():
    name = topic("confluent-partitions")
    done(ADMIN.create_partitions([NewPartitions(name, 3)]))
    until("three", lambda: len(ADMIN.list_topics(name, timeout=10).topics[name].partitions) == 3)
    refused("INVALID_PARTITIONS", lambda: done(ADMIN.create_partitions([NewPartitions(name, 2)])))


def resource(name):
    return ConfigResource(ConfigResource.Type.TOPIC, name)


def setting(name, key):
    return done(ADMIN.describe_configs([resource(name)]))[resource(name)][key]


def configs():
    name = topic("confluent-configs", config={"retention.ms": "1000000"})
    same("value", setting(name, "retention.ms").value, "1000000")
    same("source", setting(name, "retention.ms").source, ConfigSource.DYNAMIC_TOPIC_CONFIG.value)
    broker = next(iter(ADMIN.list_topics(timeout=10).brokers))
    found = done(ADMIN.describe_configs([ConfigResource(ConfigResource.Type.BROKER, str(broker))]))
    expect("broker settings", all("num.partitions" in entries for entries in found.values()))


def incremental_alter():
    name = topic("confluent-alter", config={"retention.ms": "1000000", "max.message.bytes": "100000"})
    change = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=[
        ConfigEntry("retention.ms", "2000000", incremental_operation=AlterConfigOpType.SET),
        ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.APPEND)])
    done(ADMIN.incremental_alter_configs([change]))
    until("set", lambda: setting(name, "retention.ms").value == "2000000")
    same("appended", setting(name, "cleanup.policy").value, "delete,compact")
    same("the other stays", setting(name, "max.message.bytes").value, "100000")


def alter():
    name = topic("confluent-replace", config={"retention.ms": "1000000", "max.message.bytes": "100000"})
    done(ADMIN.alter_configs([ConfigResource(ConfigResource.Type.TOPIC, name, set_config={"retention.ms": "3000000"})]))
    until("set", lambda: setting(name, "retention.ms").value == "3000000")
    expect("the other is the default again", setting(name, "max.message.bytes").value != "100000")


def offsets():
    name = topic("confluent-offsets")
    produce(name, 50)
    part = TopicPartition(name, 0)
    for spec, wanted in [(OffsetSpec.earliest(), 0), (OffsetSpec.latest(), 50), (OffsetSpec.max_timestamp(), 49),
                         (OffsetSpec.for_timestamp(FIRST_TIMESTAMP + 10), 10)]:
        found = done(ADMIN.list_offsets({part: spec}, isolation_level=IsolationLevel.READ_COMMITTED))
        same("offset", next(iter(found.values())).offset, wanted)


def delete_records():
    name = topic("confluent-delete")
    produce(name, 50)
    found = done(ADMIN.delete_records([TopicPartition(name, 0, 20)]))
    same("low watermark", next(iter(found.values())).low_watermark, 20)


def group_with_offsets(kind):
    name, group = topic(f"confluent-{kind}"), unique(f"confluent-{kind}")
    reader = consumer(group)
    reader.commit(offsets=[TopicPartition(name, 0, 5)], asynchronous=False)
    reader.close()
    return name, group


def groups():
    name, group = group_with_offsets("groups")
    member = Member(name, unique("confluent-open"), "classic")
    until("assigned", lambda: spread([member], 1))
    listed = ADMIN.list_consumer_groups(request_timeout=10).result(20)
    same("no errors", listed.errors, [])
    expect("both", {group, unique("confluent-open")} <= {found.group_id for found in listed.valid})
    stable = ADMIN.list_consumer_groups(states={ConsumerGroupState.STABLE}, types={ConsumerGroupType.CLASSIC}, request_timeout=10).result(20)
    ids = {found.group_id for found in stable.valid}
    expect("filtered", group not in ids and unique("confluent-open") in ids)
    found = done(ADMIN.describe_consumer_groups([unique("confluent-open")]))[unique("confluent-open")]
    same("state", found.state, ConsumerGroupState.STABLE)
    same("partitions", [part.partition for part in found.members[0].assignment.topic_partitions], [0])
    member.end()


def group_offsets():
    name, group = group_with_offsets("group-offsets")
    found = done(ADMIN.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))[group]
    same("listed", [(part.topic, part.partition, part.offset) for part in found.topic_partitions], [(name, 0, 5)])
    changed = ConsumerGroupTopicPartitions(group, [TopicPartition(name, 0, 9)])
    done(ADMIN.alter_consumer_group_offsets([changed]))
    found = done(ADMIN.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]))[group]
    same("altered", found.topic_partitions[0].offset, 9)


def delete_groups():
    _, group = group_with_offsets("delete-groups")
    done(ADMIN.delete_consumer_groups([group]))
    refused("GROUP_ID_NOT_FOUND", lambda: done(ADMIN.delete_consumer_groups([group])))


def elect():
    name = topic("confluent-elect")
    found = ADMIN.elect_leaders(ElectionType.PREFERRED, [TopicPartition(name, 0)]).result(20)
    same("not needed", [failure.args[0].name() if isinstance(failure, KafkaException) else failure and failure.name() for failure in found.values()],
         ["ELECTION_NOT_NEEDED"])


def acls():
    every = AclBindingFilter(ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY)
    # librdkafka gives the caller an empty list for it
    same("none", ADMIN.describe_acls(every, request_timeout=10).result(20), [])


def main():
    check = CHECKS.check
    check("every codec, offsets, keys, headers, times", codecs)
    check("every codec with an idempotent producer", lambda: codecs(**{"enable.idempotence": True}))
    check("acks=1 and acks=0", lambda: (produce(topic("confluent-acks1"), 100, acks=1), produce(topic("confluent-acks0"), 100, acks=0)))
    check("a record above max.message.bytes is refused", too_large)
    check("an unknown partition is refused", unknown_partition)
    check("a compacted topic refuses a record without a key", compacted)
    check("watermarks, times, seek, pause", positions)
    check("metadata of a commit", commit_metadata)
    check("the end of a partition is told", end_of_partition)
    check("an offset out of range is told", out_of_range)
    check("classic: a group reads everything and goes on", reads_and_goes_on, "classic")
    check("classic: three members share, eager", sharing, "classic")
    check("classic: three members share, cooperative", lambda: sharing("classic", **{"partition.assignment.strategy": "cooperative-sticky"}))
    check("classic: a static member comes back", static_member, "classic")
    check("classic: a pattern finds topics made later", pattern, "classic")
    check("KIP-848: a group reads everything and goes on", reads_and_goes_on, "consumer")
    check("KIP-848: three members share", sharing, "consumer")
    check("KIP-848: three members share with the server's range assignor", lambda: sharing("consumer", **{"group.remote.assignor": "range"}))
    check("KIP-848: a static member comes back", static_member, "consumer")
    check("KIP-848: a pattern finds topics made later", pattern, "consumer")
    check("describe_cluster", cluster)
    check("create, describe, delete topics", topics)
    check("create_partitions", partitions)
    check("describe_configs", configs)
    check("incremental_alter_configs", incremental_alter)
    check("alter_configs replaces", alter)
    check("list_offsets", offsets)
    check("delete_records", delete_records)
    check("list and describe consumer groups", groups)
    check("list and alter consumer group offsets", group_offsets)
    check("delete_consumer_groups", delete_groups)
    check("elect_leaders", elect)
    check("describe_acls", acls)
    CHECKS.end()


main()
