"""aiokafka, which speaks old versions (ApiVersions 0, Metadata 5, Fetch 11): aio.py BOOTSTRAP [CHECK]."""

import asyncio
import itertools
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import CommitFailedError, MessageSizeTooLargeError, TopicAlreadyExistsError
from aiokafka.structs import OffsetAndMetadata
from checks import SECONDS_MAX, Checks, expect, same, unique

CHECKS = Checks()
COUNTER = itertools.count()
FIRST_TIMESTAMP = int(time.time() * 1000) - 3_600_000


async def topic(name, partitions=1, config=None):
    made = unique(f"{name}-{next(COUNTER)}")
    admin = AIOKafkaAdminClient(bootstrap_servers=CHECKS.bootstrap)
    await admin.start()
    answer = await admin.create_topics([NewTopic(made, partitions, 1, topic_configs=config or {})])
    same("created", [error[1] for error in answer.topic_errors], [0])
    await admin.close()
    return made


async def produce(to, records, partitions=1, first=0, **settings):
    producer = AIOKafkaProducer(bootstrap_servers=CHECKS.bootstrap, linger_ms=5, **settings)
    await producer.start()
    try:
        sent = [await producer.send(to, b"v-%d" % i, b"k-%d" % i, partition=i % partitions, timestamp_ms=FIRST_TIMESTAMP + i,
                                    headers=[("n", b"%d" % i)]) for i in range(first, first + records)]
        return [await future for future in sent]
    finally:
        await producer.stop()


def consumer(*topics, **settings):
    return AIOKafkaConsumer(*topics, bootstrap_servers=CHECKS.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False,
                            fetch_max_wait_ms=100, metadata_max_age_ms=1000, **settings)


async def take(reader, count):
    got, end = [], time.monotonic() + SECONDS_MAX
    while len(got) < count:
        expect(f"only {len(got)} of {count} records within the time", time.monotonic() < end)
        for records in (await reader.getmany(timeout_ms=500)).values():
            got.extend(records)
    same("records", len(got), count)
    return got


async def codecs(**settings):
    for codec in [None, "gzip", "snappy", "lz4", "zstd"]:
        name = await topic(f"aio-{codec}")
        told = await produce(name, 500, compression_type=codec, **settings)
        same("offsets", [record.offset for record in told], list(range(500)))
        reader = consumer()
        await reader.start()
        reader.assign([TopicPartition(name, 0)])
        for i, record in enumerate(await take(reader, 500)):
            same("record", (record.offset, record.key, record.value, record.timestamp, tuple(record.headers)),
                 (i, b"k-%d" % i, b"v-%d" % i, FIRST_TIMESTAMP + i, (("n", b"%d" % i),)))
        await reader.stop()


async def too_large():
    name = await topic("aio-large", config={"max.message.bytes": "10000"})
    producer = AIOKafkaProducer(bootstrap_servers=CHECKS.bootstrap)
    await producer.start()
    try:
        await producer.send_and_wait(name, b"x" * 50_000)
    except MessageSizeTooLargeError:
        return
    finally:
        await producer.stop()
    raise AssertionError("it was taken")


async def auto_creation():
    producer = AIOKafkaProducer(bootstrap_servers=CHECKS.bootstrap)
    await producer.start()
    await producer.send_and_wait(unique("aio-made-by-use"), b"x")
    same("partitions", len(await producer.partitions_for(unique("aio-made-by-use"))), 4)
    await producer.stop()


async def group():
    name, group_id = await topic("aio-group", 3), unique("aio-group")
    await produce(name, 300, 3)
    reader = consumer(name, group_id=group_id, session_timeout_ms=6000, heartbeat_interval_ms=500)
    await reader.start()
    await take(reader, 300)
    await reader.commit()
    await reader.stop()
    await produce(name, 30, 3, first=300)
    reader = consumer(name, group_id=group_id)
    await reader.start()
    same("goes on", {record.value for record in await take(reader, 30)}, {b"v-%d" % i for i in range(300, 330)})
    await reader.stop()


async def sharing():
    name, group_id = await topic("aio-sharing", 4), unique("aio-sharing")
    settings = {"group_id": group_id, "session_timeout_ms": 6000, "heartbeat_interval_ms": 300}
    readers = [consumer(name, **settings), consumer(name, **settings)]
    for reader in readers:
        await reader.start()
    end = time.monotonic() + SECONDS_MAX
    while sorted(len(reader.assignment()) for reader in readers) != [2, 2]:
        expect("two each", time.monotonic() < end)
        for reader in readers:
            await reader.getmany(timeout_ms=100)
    await readers[0].stop()
    while len(readers[1].assignment()) != 4:
        expect("all four", time.monotonic() < end)
        await readers[1].getmany(timeout_ms=100)
    await readers[1].stop()


async def static_member():
    name, group_id = await topic("aio-static", 2), unique("aio-static")
    before = None
    for _ in range(2):
        reader = consumer(name, group_id=group_id, group_instance_id="one")
        await reader.start()
        end = time.monotonic() + SECONDS_MAX
        while not reader.assignment():
            expect("assigned", time.monotonic() < end)
            await reader.getmany(timeout_ms=100)
        same("the same partitions", before or reader.assignment(), reader.assignment())
        before = reader.assignment()
        await reader.stop()


async def pattern():
    one = await topic("aio-pattern-one")
    await produce(one, 5)
    reader = consumer(group_id=unique("aio-pattern"))
    await reader.start()
    reader.subscribe(pattern=f"^aio-pattern-.*{one.rsplit('-', 1)[1]}$")
    await take(reader, 5)
    await reader.commit()
    two = await topic("aio-pattern-two")
    await produce(two, 5)
    same("the new topic's records", {record.topic for record in await take(reader, 5)}, {two})
    await reader.stop()


async def positions():
    name = await topic("aio-positions")
    await produce(name, 100)
    part = TopicPartition(name, 0)
    reader = consumer(group_id=unique("aio-positions"))
    await reader.start()
    reader.assign([part])
    same("beginning", await reader.beginning_offsets([part]), {part: 0})
    same("end", await reader.end_offsets([part]), {part: 100})
    same("by time", (await reader.offsets_for_times({part: FIRST_TIMESTAMP + 42}))[part].offset, 42)
    reader.seek(part, 90)
    same("sought", (await take(reader, 10))[0].offset, 90)
    same("position", await reader.position(part), 100)
    same("nothing committed", await reader.committed(part), None)
    await reader.commit({part: OffsetAndMetadata(7, "said")})
    same("committed", await reader.committed(part), 7)
    await reader.stop()


async def lost_generation():
    """A commit of a member whose group went on without it."""
    name, group_id = await topic("aio-lost", 1), unique("aio-lost")
    await produce(name, 10)
    reader = consumer(name, group_id=group_id, session_timeout_ms=2000, heartbeat_interval_ms=500, max_poll_interval_ms=1000)
    await reader.start()
    await take(reader, 10)
    await asyncio.sleep(6)
    try:
        await reader.commit()
    except CommitFailedError:
        return
    finally:
        await reader.stop()
    # aiokafka may have joined again by itself: then the commit is right
    same("committed", await committed(group_id, TopicPartition(name, 0)), 10)


async def committed(group_id, part):
    reader = consumer(group_id=group_id)
    await reader.start()
    reader.assign([part])
    found = await reader.committed(part)
    await reader.stop()
    return found


async def with_admin(function):
    admin = AIOKafkaAdminClient(bootstrap_servers=CHECKS.bootstrap)
    await admin.start()
    try:
        await function(admin)
    finally:
        await admin.close()


async def admin_topics(admin):
    name = await topic("aio-topics", 3)
    expect("listed", name in await admin.list_topics())
    found = await admin.describe_topics([name])
    same("partitions", len(found[0]["partitions"]), 3)
    found = await admin.describe_cluster()
    same("brokers", len(found["brokers"]), 1)
    answer = await admin.create_topics([NewTopic(name, 1, 1)])
    same("exists", answer.topic_errors[0][1], TopicAlreadyExistsError.errno)
    answer = await admin.delete_topics([name])
    same("deleted", answer.topic_error_codes, [(name, 0)])


async def admin_partitions(admin):
    name = await topic("aio-partitions")
    answer = await admin.create_partitions({name: NewPartitions(3)})
    same("grown", answer.topic_errors[0][1], 0)
    end = time.monotonic() + SECONDS_MAX
    while len((await admin.describe_topics([name]))[0]["partitions"]) != 3:
        expect("three partitions", time.monotonic() < end)
        await asyncio.sleep(0.1)


async def admin_configs(admin):
    name = await topic("aio-configs", config={"retention.ms": "1000000"})
    found = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    values = {entry[0]: entry[1] for entry in found[0].resources[0][4]}
    same("value", values["retention.ms"], "1000000")


async def admin_alter(admin):
    name = await topic("aio-alter")
    answer = await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs={"retention.ms": "2000000"})])
    same("altered", answer[0].resources[0][0], 0)
    found = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    values = {entry[0]: entry[1] for entry in found[0].resources[0][4]}
    same("value", values["retention.ms"], "2000000")


async def admin_records(admin):
    name = await topic("aio-records")
    await produce(name, 20)
    found = await admin.delete_records({TopicPartition(name, 0): RecordsToDelete(before_offset=5)})
    same("low watermark", next(iter(found.values())), 5)


async def admin_groups(admin):
    name, group_id = await topic("aio-groups"), unique("aio-groups")
    reader = consumer(name, group_id=group_id)
    await reader.start()
    await reader.getmany(timeout_ms=500)
    await reader.commit({TopicPartition(name, 0): OffsetAndMetadata(3, "")})
    expect("listed", group_id in [found[0] for found in await admin.list_consumer_groups()])
    described = await admin.describe_consumer_groups([group_id])
    same("described", described[0].groups[0][1:3], (group_id, "Stable"))
    found = await admin.list_consumer_group_offsets(group_id)
    same("offset", found[TopicPartition(name, 0)].offset, 3)
    expect("a coordinator", await admin.find_coordinator(group_id) is not None)
    await reader.stop()


def main():
    check = CHECKS.check
    check("every codec, offsets, keys, headers, times", codecs)
    check("every codec with an idempotent producer", lambda: codecs(enable_idempotence=True))
    check("a record above max.message.bytes is refused", too_large)
    check("auto-creation by the first record", auto_creation)
    check("a group reads everything and goes on", group)
    check("two members share the partitions, one leaves", sharing)
    check("a static member comes back", static_member)
    check("a pattern finds topics made later", pattern)
    check("beginning, end, times, seek, commit", positions)
    check("a member that polls too late", lost_generation)
    check("create, describe, delete topics, describe the cluster", lambda: with_admin(admin_topics))
    check("create_partitions", lambda: with_admin(admin_partitions))
    check("describe_configs", lambda: with_admin(admin_configs))
    check("alter_configs", lambda: with_admin(admin_alter))
    check("delete_records", lambda: with_admin(admin_records))
    check("consumer groups: list, describe, offsets, coordinator", lambda: with_admin(admin_groups))
    CHECKS.end()


main()
