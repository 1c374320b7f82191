"""kafkajs, node-rdkafka (librdkafka) and @platformatic/kafka."""

import json

from suite import Suite
from toolchains import INTEROP, NODE_AT_LEAST, node


def version(folder, package):
    return json.loads((INTEROP / "node" / folder / "package.json").read_text())["dependencies"][package]


def suite(folder, package, quick, at_least=NODE_AT_LEAST):
    def run(context):
        context.program(["node", "program.mjs", context.bootstrap], cwd=node(folder, at_least), seconds=900)

    return Suite(package, version(folder, package), "producer, consumer, admin", run, quick=quick,
                 prepare=lambda: node(folder, at_least))


SUITES = [
    suite("kafkajs", "kafkajs", True),
    # uses what Node has from 22 on
    suite("platformatic", "@platformatic/kafka", True, (22, 0)),
    # compiles librdkafka
    suite("rdkafka", "node-rdkafka", False),
]
