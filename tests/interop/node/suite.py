"""kafkajs, node-rdkafka (librdkafka) and @platformatic/kafka."""

import json

from suite import Suite
from toolchains import INTEROP, node


def version(folder, package):
    return json.loads((INTEROP / "node" / folder / "package.json").read_text())["dependencies"][package]


def program(folder):
    return lambda context: context.program(["node", "program.mjs", context.bootstrap], cwd=node(folder), seconds=900)


def suite(folder, package, quick):
    return Suite(package, version(folder, package), "producer, consumer, admin", program(folder), quick=quick,
                 prepare=lambda: node(folder))


SUITES = [
    suite("kafkajs", "kafkajs", True),
    suite("platformatic", "@platformatic/kafka", True),
    # compiles librdkafka
    suite("rdkafka", "node-rdkafka", False),
]
