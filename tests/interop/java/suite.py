"""The Java clients and Kafka's own command line tools (java/clients); Connect, MirrorMaker and Streams (java/ecosystem)."""

import importlib.util
import re
from pathlib import Path

from suite import Suite
from toolchains import java, java_clients, kcat, maven, pinned

_spec = importlib.util.spec_from_file_location("suites_connect", Path(__file__).parent / "connect.py")
connect = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(connect)

VERSION = pinned("java/clients/pom.xml", "kafka", r"<kafka.version>([0-9.]+)</kafka.version>")


def program(main, *words):
    return lambda context: context.program([*java(main), context.bootstrap, *words], seconds=900)


class Tools:
    """Each tool of Kafka's bin directory by its main class; what it must say is what Kafka 4.3 says."""

    def __init__(self, context):
        self.context = context

    def tool(self, main, *words, stdin=None, options=()):
        command = java(main, *words, options=options)
        return self.context.command(command, stdin=stdin, seconds=120, check=True)[1]

    def says(self, main, *words, wanted, stdin=None, options=()):
        said = self.tool(main, *words, stdin=stdin, options=options)
        for pattern in wanted:
            if not re.search(pattern, said, re.MULTILINE):
                raise AssertionError(f"does not say {pattern!r}: {' / '.join(said.splitlines()[-3:])}")
        return said

    def server(self):
        return ["--bootstrap-server", self.context.bootstrap]

    def topics(self):
        main, server = "org.apache.kafka.tools.TopicCommand", self.server()
        self.says(main, *server, "--create", "--topic", "tools", "--partitions", "2", "--config", "retention.ms=3600000",
                  wanted=["Created topic tools"])
        self.says(main, *server, "--list", wanted=["^tools$"])
        self.says(main, *server, "--describe", "--topic", "tools",
                  wanted=[r"PartitionCount: 2", r"ReplicationFactor: 1", r"retention.ms=3600000", r"Partition: 1\s+Leader: \d+\s+Replicas: \d+\s+Isr: \d+"])

    def alter_topic(self):
        main, server = "org.apache.kafka.tools.TopicCommand", self.server()
        self.tool(main, *server, "--create", "--topic", "tools-grown", "--partitions", "1")
        self.tool(main, *server, "--alter", "--topic", "tools-grown", "--partitions", "3")
        self.says(main, *server, "--describe", "--topic", "tools-grown", wanted=["PartitionCount: 3"])
        self.tool(main, *server, "--delete", "--topic", "tools-grown")

    def configs(self):
        main, server = "kafka.admin.ConfigCommand", self.server()
        self.says(main, *server, "--entity-type", "topics", "--entity-name", "tools", "--alter", "--add-config", "max.message.bytes=50000",
                  wanted=["Completed updating config for topic tools"])
        self.says(main, *server, "--entity-type", "topics", "--entity-name", "tools", "--describe", wanted=["max.message.bytes=50000"])
        self.says(main, *server, "--entity-type", "topics", "--entity-name", "tools", "--alter", "--delete-config", "max.message.bytes",
                  wanted=["Completed updating config"])
        self.says(main, *server, "--entity-type", "brokers", "--all", "--describe", wanted=["num.partitions=4"])

    def console(self):
        lines = "".join(f"k{i}:v{i}\n" for i in range(20))
        self.tool("org.apache.kafka.tools.ConsoleProducer", *self.server(), "--topic", "tools", "--reader-property", "parse.key=true",
                  "--reader-property", "key.separator=:", stdin=lines)
        said = self.tool("org.apache.kafka.tools.consumer.ConsoleConsumer", *self.server(), "--topic", "tools", "--from-beginning",
                         "--max-messages", "20", "--group", "tools-console", "--timeout-ms", "30000")
        got = sorted(line for line in said.splitlines() if re.fullmatch(r"v\d+", line))
        if got != sorted(f"v{i}" for i in range(20)):
            raise AssertionError(f"{len(got)} of 20 lines came back")

    def consumer_groups(self):
        main, server = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", self.server()
        self.says(main, *server, "--list", wanted=["^tools-console$"])
        self.says(main, *server, "--describe", "--group", "tools-console", wanted=[r"tools-console\s+tools\s+\d\s+\d+\s+\d+\s+0"])
        self.says(main, *server, "--describe", "--group", "tools-console", "--state", wanted=["Empty"])
        self.says(main, *server, "--group", "tools-console", "--topic", "tools", "--reset-offsets", "--to-earliest", "--execute",
                  wanted=[r"tools-console\s+tools\s+\d\s+0"])

    def delete_offsets(self):
        main, server = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", self.server()
        self.says(main, *server, "--group", "tools-console", "--topic", "tools", "--delete-offsets", wanted=["Successful"])
        self.says(main, *server, "--group", "tools-console", "--delete", wanted=["Deletion of requested consumer groups .*was successful"])

    def get_offsets(self):
        self.says("org.apache.kafka.tools.GetOffsetShell", *self.server(), "--topic", "tools", wanted=[r"^tools:0:\d+$", r"^tools:1:\d+$"])
        self.says("org.apache.kafka.tools.GetOffsetShell", *self.server(), "--topic", "tools", "--time", "earliest", wanted=[r"^tools:0:0$"])

    def delete_records(self):
        file = self.context.work / "delete.json"
        file.write_text('{"partitions": [{"topic": "tools", "partition": 0, "offset": 1}], "version": 1}')
        self.says("org.apache.kafka.tools.DeleteRecordsCommand", *self.server(), "--offset-json-file", file, wanted=[r"partition: tools-0\s+low_watermark: 1"])

    def api_versions(self):
        said = self.says("org.apache.kafka.tools.BrokerApiVersionsCommand", *self.server(), wanted=[r"Produce\(0\): 0 to 13", r"Fetch\(1\): 4 to 18"])
        if "UNSUPPORTED" not in said:
            raise AssertionError("nothing is unsupported?")

    def log_dirs(self):
        self.says("org.apache.kafka.tools.LogDirsCommand", *self.server(), "--describe", "--topic-list", "tools", wanted=[r'"partition":"tools-0"', r'"size":\d+'])

    def leader_election(self):
        self.tool("org.apache.kafka.tools.LeaderElectionCommand", *self.server(), "--election-type", "preferred", "--topic", "tools", "--partition", "0")

    def producer_perf(self):
        self.says("org.apache.kafka.tools.ProducerPerformance", "--topic", "tools-perf", "--num-records", "20000", "--record-size", "100",
                  "--throughput", "-1", "--bootstrap-server", self.context.bootstrap, wanted=["20000 records sent"])

    def consumer_perf(self):
        self.says("org.apache.kafka.tools.ConsumerPerformance", *self.server(), "--topic", "tools-perf", "--num-records", "20000",
                  "--timeout", "30000", wanted=[r", 20000,"])

    def end_to_end(self):
        self.says("org.apache.kafka.tools.EndToEndLatency", *self.server(), "--topic", "tools-latency", "--num-records", "500",
                  "--producer-acks", "1", "--record-size", "100", wanted=["Avg latency"])

    def verifiable(self):
        self.says("org.apache.kafka.tools.VerifiableProducer", *self.server(), "--topic", "tools-verifiable", "--max-messages", "1000",
                  "--acks", "-1", wanted=[r'"name":"tool_data".*"sent":1000.*|"sent":1000'])

    def reassign(self):
        self.says("org.apache.kafka.tools.reassign.ReassignPartitionsCommand", *self.server(), "--list", wanted=["No partition reassignments found"])

    def cluster(self):
        self.says("org.apache.kafka.tools.ClusterTool", "cluster-id", *self.server(), wanted=["Cluster ID: "])

    def features(self):
        self.tool("org.apache.kafka.tools.FeatureCommand", *self.server(), "describe")

    def groups(self):
        self.says("org.apache.kafka.tools.GroupsCommand", *self.server(), "--list", wanted=["tools-console"])


TOOLS = [
    ("kafka-topics: create, list, describe", Tools.topics, True),
    ("kafka-topics: alter, delete", Tools.alter_topic, True),
    ("kafka-configs", Tools.configs, True),
    ("kafka-console-producer, kafka-console-consumer", Tools.console, True),
    ("kafka-consumer-groups: list, describe, reset", Tools.consumer_groups, True),
    ("kafka-groups", Tools.groups, False),
    ("kafka-consumer-groups: delete", Tools.delete_offsets, True),
    ("kafka-get-offsets", Tools.get_offsets, True),
    ("kafka-delete-records", Tools.delete_records, True),
    ("kafka-broker-api-versions", Tools.api_versions, True),
    ("kafka-log-dirs", Tools.log_dirs, True),
    ("kafka-producer-perf-test", Tools.producer_perf, True),
    ("kafka-consumer-perf-test", Tools.consumer_perf, True),
    ("kafka-e2e-latency", Tools.end_to_end, False),
    ("kafka-verifiable-producer", Tools.verifiable, False),
    ("kafka-leader-election", Tools.leader_election, False),
    ("kafka-reassign-partitions --list", Tools.reassign, False),
    ("kafka-cluster", Tools.cluster, False),
    ("kafka-features", Tools.features, False),
]


def tools(context, only_quick):
    """Both rows share the order: later tools look at what earlier ones made."""
    runner = Tools(context)
    for name, check, quick in TOOLS:
        if quick or not only_quick:
            context.check(name, check, runner)


SUITES = [
    Suite("Java client", VERSION, "producer", program("Producing"), prepare=java_clients),
    Suite("Java client", VERSION, "consumer, classic groups", program("Consuming", "classic"), prepare=java_clients),
    Suite("Java client", VERSION, "consumer, KIP-848 groups", program("Consuming", "consumer"), prepare=java_clients),
    Suite("Java client", VERSION, "admin", program("Administering"), prepare=java_clients),
    Suite("Kafka tools", VERSION, "command line tools", lambda context: tools(context, False), prepare=java_clients),
    Suite("Kafka Streams", VERSION, "word count, at least once", connect.word_count, quick=False, prepare=lambda: maven("ecosystem")),
    Suite("Kafka Connect", VERSION, "distributed worker, file source and sink", connect.connect, quick=False, prepare=lambda: maven("ecosystem")),
    Suite("MirrorMaker 2", VERSION, "Headrace to Headrace", connect.mirror, quick=False, prepare=lambda: (kcat(), maven("ecosystem"))),
    Suite("Debezium", pinned("java/debezium/pom.xml", "debezium", r"<debezium.version>([0-9A-Za-z.]+)</debezium.version>"),
          "MariaDB connector in Connect", connect.debezium, quick=False, prepare=connect.prepare_debezium),
]
