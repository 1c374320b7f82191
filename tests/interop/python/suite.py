"""confluent-kafka (a current librdkafka), kafka-python with its own integration tests, aiokafka."""

import re
import tarfile
from pathlib import Path

from suite import BUILT, ROOT, Suite, fetch, one_line
from toolchains import pinned, python

HERE = ROOT / "tests" / "interop" / "python"


def version(package):
    return pinned("python/requirements.txt", package)


def program(name):
    return lambda context: context.program([python(), HERE / name, context.bootstrap], seconds=900)


def kafka_python_tests():
    """The source package of kafka-python with its tests; gives the folder."""
    package = f"kafka_python-{version('kafka-python')}"
    folder = BUILT / package
    if not folder.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        fetch([python().parent / "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "-d", BUILT,
               f"kafka-python=={version('kafka-python')}"])
        with tarfile.open(BUILT / f"{package}.tar.gz") as archive:
            archive.extractall(BUILT / f"{package}.new", filter="data")
        inner = BUILT / f"{package}.new" / package
        # what the source package lacks: the mark of a package (Python has a `test` of its own), and one file
        (inner / "test" / "__init__.py").touch()
        (inner / "test" / "service.py").write_bytes((HERE / "external_service.py").read_bytes())
        inner.rename(folder)
    return folder


def run_kafka_python_tests(context):
    folder = kafka_python_tests()
    _, output = context.command(
        [python(), "-m", "pytest", "-v", "test/integration", "-p", "no:cacheprovider", "--show-capture=no", "--tb=line", "--timeout=100",
         "--deselect", "test/integration/test_ssl_integration.py", "--deselect", "test/integration/test_sasl_integration.py"],
        cwd=folder, seconds=900, KAFKA_URI=f"kafka://{context.bootstrap}", KAFKA_VERSION="4.3",
        # where it would find a broker to start; it only looks that the folder is there
        KAFKA_ROOT=Path("/tmp"))
    for name, outcome in re.findall(r"^test/integration/\S+?::(\S+)(?: .*?)?\s*(PASSED|FAILED|ERROR|SKIPPED)", output, re.MULTILINE):
        if outcome == "SKIPPED":
            context.skip(name)
        else:
            context.record(name, outcome == "PASSED", "" if outcome == "PASSED" else why(output, name))


def why(output, name):
    """pytest's own last line about the test."""
    found = re.search(rf"^(?:FAILED|ERROR) \S+::{re.escape(name)} - ([^\n]*)", output, re.MULTILINE)
    return one_line(found.group(1)) if found else "failed"


SUITES = [
    Suite("confluent-kafka-python", f"{version('confluent-kafka')}", "producer, consumer, admin", program("confluent.py"), prepare=python),
    Suite("kafka-python", version("kafka-python"), "its own integration tests", run_kafka_python_tests, prepare=kafka_python_tests),
    Suite("aiokafka", version("aiokafka"), "producer, consumer, admin", program("aio.py"), prepare=python),
]
