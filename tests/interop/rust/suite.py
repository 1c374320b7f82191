"""rust-rdkafka's own tests: the published crate contains them. It is copied out of cargo's registry and built below target."""

import json
import re
import shutil
from pathlib import Path

from suite import BUILT, ROOT, Suite, fetch

# One test may wait for this long; those about transactions wait for ever.
TEST_SECONDS_MAX = 90
BINARY_SECONDS_MAX = 240
# What needs an API that is not served hangs instead of failing: not run, but counted as failed.
NOT_RUN = {"test_transactions": "needs transactions"}


def crate():
    """Where cargo keeps the crate that this workspace itself uses."""
    metadata = json.loads(fetch(["cargo", "metadata", "--format-version", "1", "--locked"], cwd=ROOT).splitlines()[-1])
    return next(package for package in metadata["packages"] if package["name"] == "rdkafka")


def version():
    lock = (ROOT / "Cargo.lock").read_text()
    return re.search(r'name = "rdkafka"\nversion = "([^"]+)"', lock).group(1)


def binaries():
    """Builds the tests; gives name -> executable."""
    folder = BUILT / "rust" / f"rdkafka-{version()}"
    if not folder.exists():
        shutil.copytree(Path(crate()["manifest_path"]).parent, folder.with_suffix(".new"))
        # a package of its own, not a member of the workspace above it
        with (folder.with_suffix(".new") / "Cargo.toml").open("a") as manifest:
            manifest.write("\n[workspace]\n")
        folder.with_suffix(".new").rename(folder)
    said = fetch(["nice", "cargo", "test", "--tests", "--no-run", "--message-format=json", "--quiet"], cwd=folder,
                 CARGO_TARGET_DIR=BUILT / "rust" / "target")
    found = {}
    for line in said.splitlines():
        if not line.startswith("{"):
            continue
        message = json.loads(line)
        if message.get("executable") and message["profile"]["test"]:
            found[message["target"]["name"]] = (Path(message["executable"]), folder)
    return found


def outcomes(output):
    """`test NAME ... ok`; what a test prints may stand between the name and its outcome."""
    found = {}
    for name, outcome in re.findall(r"^test (\S+) \.\.\. .*?(ok|FAILED|ignored)$", output, re.MULTILINE):
        found[name] = outcome
    return found


def why(output, name):
    panic = re.search(rf"thread '{re.escape(name)}'[^\n]*panicked at [^\n]*\n([^\n]*(?:\n  left[^\n]*\n right[^\n]*)?)", output)
    return panic.group(1) if panic else ""


def run(context):
    more = {"KAFKA_HOST": context.bootstrap, "KAFKA_VERSION": "4.0", "RUST_BACKTRACE": "0"}
    for binary, (path, folder) in sorted(binaries().items()):
        _, listed = context.command([path, "--list"])
        tests = re.findall(r"^(\S+): test$", listed, re.MULTILINE)
        if binary in NOT_RUN:
            for test in tests:
                context.record(f"{binary}::{test}", False, f"not run: {NOT_RUN[binary]}")
            continue
        _, output = context.command([path, "--test-threads=4"], cwd=folder, seconds=BINARY_SECONDS_MAX, **more)
        found = outcomes(output)
        for test in tests:
            said = output
            if test not in found:
                # an abort of the process or a hang took the others with it: once more, alone
                status, said = context.command([path, "--exact", test], cwd=folder, seconds=TEST_SECONDS_MAX, **more)
                found[test] = outcomes(said).get(test, "hangs" if status == 124 else f"ends with {status}")
            passed = found[test] == "ok"
            context.record(f"{binary}::{test}", passed, "" if passed else why(said, test) or found[test])


SUITES = [
    # test_metadata wants port 9092, three partitions and node id 0
    Suite("rust-rdkafka", version(), "its own tests", run, quick=False, prepare=binaries, partitions=3, port=9092),
]
