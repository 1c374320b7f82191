"""franz-go's own tests (go/kgo), and programs of ours on kadm, sarama and kafka-go."""

import json
import re

from suite import Suite, fetch, once
from toolchains import GO_AT_LEAST, INTEROP, go, pinned, tool

# A record is one line of a test's log; the suite's default of 500,000 takes an hour on two cores.
RECORDS = 20_000
# What needs an API that is not served hangs instead of failing: not run, but counted as failed.
NOT_RUN = {"TestTxnEtl": "needs transactions"}


def version(folder, module):
    return pinned(f"go/{folder}/go.mod", module, r"{name} v([0-9.]+)")


def kgo():
    """Builds the module's own tests; gives the folder of the binary and that of the module."""
    tool(["go", "version"], r"go([0-9.]+)", GO_AT_LEAST, "install Go from your distribution's backports or from go.dev")
    source = INTEROP / "go" / "kgo"

    def build(folder):
        fetch(["nice", "go", "test", "-c", "-o", folder / "kgo.test", "github.com/twmb/franz-go/pkg/kgo"], cwd=source,
              GOFLAGS="-mod=readonly", GOTOOLCHAIN="local")

    module = json.loads(fetch(["go", "list", "-m", "-json", "github.com/twmb/franz-go"], cwd=source))["Dir"]
    return once("go-kgo", [source], build) / "kgo.test", f"{module}/pkg/kgo"


def run_kgo(context):
    binary, folder = kgo()
    _, output = context.command([binary, "-test.v", "-test.timeout", "20m", "-test.skip", "|".join(NOT_RUN)], cwd=folder,
                                seconds=1_300, KGO_SEEDS=context.bootstrap, KGO_TEST_RF="1", KGO_TEST_RECORDS=RECORDS,
                                KGO_LOG_LEVEL="none")
    outcomes = dict((name, outcome) for outcome, name in re.findall(r"^\s*--- (PASS|FAIL|SKIP): (\S+)", output, re.MULTILINE))
    started = re.findall(r"^=== RUN\s+(\S+)", output, re.MULTILINE)
    for name in started:
        outcome = outcomes.get(name, "not done")
        if any(other.startswith(f"{name}/") for other in started) and outcome != "not done":
            # counted by its parts
            continue
        if outcome == "SKIP":
            context.skip(name)
        else:
            context.record(name, outcome == "PASS", "" if outcome == "PASS" else failure(output, name) or outcome)
    for name, reason in NOT_RUN.items():
        context.record(name, False, f"not run: {reason}")


def failure(output, name):
    """The first line that a failed test wrote."""
    found = re.search(rf"=== (?:NAME|CONT)\s+{re.escape(name)}\n\s+(\S+\.go:\d+: [^\n]*)", output)
    return found.group(1) if found else ""


def program(word):
    return lambda context: context.program([go("programs"), word, context.bootstrap], seconds=900)


def suite(client, module, word):
    return Suite(client, version("programs", module), "producer, consumer, admin", program(word), prepare=lambda: go("programs"))


SUITES = [
    Suite("franz-go", version("kgo", "github.com/twmb/franz-go"), "kgo, its own tests", run_kgo, quick=False, prepare=kgo),
    Suite("franz-go", version("programs", "github.com/twmb/franz-go/pkg/kadm"), "kadm, every call", program("kadm"),
          prepare=lambda: go("programs")),
    suite("sarama", "github.com/IBM/sarama", "sarama"),
    suite("kafka-go", "github.com/segmentio/kafka-go", "kafka-go"),
]
