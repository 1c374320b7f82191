"""kcat, kafka-python and the Java client read each other's records, over a restart and a kill of the broker.

Each client fills one topic per codec (none, gzip, snappy, lz4, zstd) and reads a part of it with a group; the broker is
stopped in order and started again; the groups go on where they were; the broker is killed and started again; then each
client reads the topics of every client from the start and compares bytes, keys, headers, timestamps and offsets (dense
from 0). What record i must look like is written in client.py and in java/clients' Exchange.java.
"""

import time

from suite import ROOT, Suite
from toolchains import java, java_clients, kcat, kcat_version, python

CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
RECORDS = 500
FIRST_PART = 200
HERE = ROOT / "tests" / "interop" / "exchange"


def kcat_value(i):
    return f"value-{i}-{'x' * (i % 50)}"


def kcat_lines(first, upto):
    return "".join(f"key-{i}:{kcat_value(i)}\n" for i in range(first, upto))


def kcat_expected(first, upto):
    return [f"{i}|key-{i}:{kcat_value(i)}|trace=kcat" for i in range(first, upto)]


def compare(got, wanted):
    lines = [line for line in got.splitlines() if "|" in line]
    if lines != wanted:
        at = next((n for n, pair in enumerate(zip(lines, wanted)) if pair[0] != pair[1]), min(len(lines), len(wanted)))
        raise AssertionError(f"line {at} of {len(lines)} (wanted {len(wanted)}): got {lines[at:at + 1]}, wanted {wanted[at:at + 1]}")


class Exchange:
    def __init__(self, context):
        self.context = context
        # Not long ago, since records older than retention.ms are removed as in Kafka.
        self.first_timestamp_ms = int(time.time()) * 1000 - 3_600_000

    def kcat(self, *words, stdin=None):
        command = [kcat(), "-b", self.context.bootstrap, "-q", *words]
        return self.context.command(command, stdin=stdin, seconds=120, check=True)[1]

    def kcat_group(self, codec, first, upto):
        got = self.kcat("-G", f"kcat-group-{codec}", "-X", "auto.offset.reset=earliest", "-X", "fetch.wait.max.ms=50",
                        "-c", str(upto - first), "-f", "%o|%k:%s|%h\\n", f"kcat-{codec}")
        compare(got, kcat_expected(first, upto))

    def kcat_produce(self):
        for codec in CODECS:
            self.kcat("-P", "-t", f"kcat-{codec}", "-p", "0", "-K:", "-z", codec, "-H", "trace=kcat", "-X", "acks=all",
                      stdin=kcat_lines(0, RECORDS))
            self.kcat_group(codec, 0, FIRST_PART)

    def kcat_continue(self):
        for codec in CODECS:
            self.kcat_group(codec, FIRST_PART, RECORDS)

    def kcat_verify(self):
        for codec in CODECS:
            got = self.kcat("-C", "-t", f"kcat-{codec}", "-o", "beginning", "-e", "-f", "%o|%k:%s|%h\\n")
            compare(got, kcat_expected(0, RECORDS))
        for client in ["python", "java"]:
            for codec in CODECS:
                got = self.kcat("-C", "-t", f"{client}-{codec}", "-o", "beginning", "-e", "-f", "%o|%k|%T\\n")
                compare(got, [f"{i}|key-{i}|{self.first_timestamp_ms + i * 1000}" for i in range(RECORDS)])

    def foreign(self, command, word):
        self.context.command([*command, word, self.context.bootstrap], seconds=300, check=True,
                             FIRST_TIMESTAMP_MS=self.first_timestamp_ms)

    def run(self):
        context, broker = self.context, self.context.broker
        clients = [("kafka-python", [python(), HERE / "client.py"]), ("the Java client", java("Exchange"))]
        context.check("kcat produces with every codec and reads with a group", self.kcat_produce)
        for name, command in clients:
            context.check(f"{name} produces with every codec and reads with a group", self.foreign, command, "produce")
        broker.stop()
        broker.start()
        context.check("kcat's groups go on after a restart", self.kcat_continue)
        for name, command in clients:
            context.check(f"{name}'s groups go on after a restart", self.foreign, command, "continue")
        broker.kill()
        broker.start()
        context.check("kcat reads every topic unchanged after a kill", self.kcat_verify)
        for name, command in clients:
            context.check(f"{name} reads every topic unchanged after a kill", self.foreign, command, "verify")


SUITES = [
    Suite("kcat, kafka-python, Java client", f"{kcat_version()}, 3.0.12, 4.3.1", "exchange of records",
          lambda context: Exchange(context).run(), prepare=lambda: (kcat(), python(), java_clients()), partitions=1),
]
