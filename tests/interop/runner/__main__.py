"""Runs foreign clients' suites against the real binary and writes the table of docs/compatibility.md.

    tests/interop/run                 the quick suites (what CI runs)
    tests/interop/run --full          every suite
    tests/interop/run NAME...         the suites whose key contains NAME
    tests/interop/run --list          what there is
    tests/interop/run --against HOST:PORT NAME...   the same suites against another broker, to compare; no table

Each suite gets a broker of its own, in a new directory. Logs are kept below target/interop/logs. A folder beside this one
is a client or language; its suite.py gives `SUITES`. Known failures: known-failures.txt.
"""

import argparse
import importlib.util
import shutil
import sys
import tempfile
import time
from pathlib import Path

import known as known_failures
import table
from broker import Broker, BrokerDied, Foreign
from suite import BUILT, Context, NotRun, ROOT, one_line

HERE = Path(__file__).resolve().parent.parent
# The order of the table's rows: by folder.
FOLDERS = ["exchange", "python", "rust", "java", "go", "node"]
# Reasons named in a row of the table; more are in known-failures.txt.
REASONS_MAX = 3


def suites():
    found = []
    for folder in FOLDERS:
        path = HERE / folder / "suite.py"
        if path.exists():
            spec = importlib.util.spec_from_file_location(f"suites_{folder}", path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            found.extend(module.SUITES)
    return found


class Outcome:
    """What the results of a suite mean beside the known failures."""

    def __init__(self, suite, context, known):
        results = context.results
        self.skipped = context.skipped
        self.passed = [test for test, passed, _ in results if passed]
        self.failed = [(test, why) for test, passed, why in results if not passed]
        self.new = []
        self.reasons = {}
        for test, why in self.failed:
            reason = known_failures.reason(known, suite.key, test)
            if reason is None:
                self.new.append((test, why))
            else:
                self.reasons.setdefault(reason, []).append(test)
        self.mended = [test for test in self.passed if known_failures.reason(known, suite.key, test)]

    def why(self):
        """The cell of the table: unknown failures by name, known ones by their reason."""
        parts = [f"{test}: {one_line(why, 100)}" for test, why in self.new[:REASONS_MAX]]
        if len(self.new) > REASONS_MAX:
            parts.append(f"and {len(self.new) - REASONS_MAX} more")
        for reason, tests in sorted(self.reasons.items(), key=lambda item: -len(item[1])):
            parts.append(f"{len(tests)}: {reason}")
        if self.skipped:
            parts.append(f"{len(self.skipped)} left out by the suite itself")
        return "; ".join(parts)


def run(suite, known, work, against):
    """Runs one suite; gives its outcome, or the reason why it was not run."""
    logs = BUILT / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{suite.key}.log"
    log.write_text("")
    try:
        suite.prepare()
    except NotRun as reason:
        return str(reason)
    folder = work / suite.key
    if against:
        broker = Foreign(against, folder)
    else:
        broker = Broker(ROOT / "target" / "debug" / "headrace", folder, suite.partitions, suite.port)
    context = Context(broker, folder, log)
    try:
        broker.start()
        suite.run(context)
        if broker.died():
            raise BrokerDied(f"the broker died with exit code {broker.process.returncode}: {one_line(broker.tail(3))}")
        context.say(f"-- the broker's largest memory: {0 if against else broker.resident_mib()} MiB")
        broker.stop()
    except BrokerDied as death:
        context.say(str(death))
        context.record("the broker lives", False, one_line(death))
    except Exception as failure:  # noqa: BLE001 - a suite that breaks is a failed suite, the others go on
        context.say(repr(failure))
        context.record("the suite runs to its end", False, one_line(repr(failure)))
    finally:
        broker.kill()
        if broker.log.exists():
            shutil.copy(broker.log, logs / f"{suite.key}.broker.log")
        shutil.rmtree(folder, ignore_errors=True)
    if not context.results:
        context.record("the suite has results", False, "none")
    return Outcome(suite, context, known)


def arguments():
    parser = argparse.ArgumentParser(prog="tests/interop/run", description="Foreign Kafka clients against the real binary.")
    parser.add_argument("names", nargs="*", help="only suites whose key contains one of these words")
    parser.add_argument("--full", action="store_true", help="also the suites that take long")
    parser.add_argument("--list", action="store_true", help="show every suite's key")
    parser.add_argument("--against", metavar="HOST:PORT", help="another broker, to compare with; writes no table")
    return parser.parse_args()


def chosen(every, options):
    if options.names:
        return [suite for suite in every if any(name in suite.key for name in options.names)]
    return [suite for suite in every if options.full or suite.quick]


def tell(suite, outcome, seconds):
    """Says on the terminal how a suite went."""
    verdict = "FAILED" if outcome.new else "ok"
    print(f"{verdict:7} {suite.client} {suite.version}, {suite.name}: {len(outcome.passed)} passed, "
          f"{len(outcome.failed)} failed, {len(outcome.new)} of them not known ({seconds:.0f} s)", flush=True)
    for test, why in outcome.new:
        print(f"          {test}: {why}")
    if outcome.skipped:
        print(f"          left out by the suite itself: {', '.join(outcome.skipped)}")
    for test in outcome.mended:
        print(f"          known to fail, but passed: {test} (take it out of known-failures.txt)")
    if outcome.new:
        print(f"          log: target/interop/logs/{suite.key}.log, .broker.log")


def main():
    options = arguments()
    every = suites()
    if options.list:
        for suite in every:
            print(f"{suite.key:45} {'quick' if suite.quick else 'full '}  {suite.client} {suite.version}, {suite.name}")
        return 0
    if not options.against and not (ROOT / "target" / "debug" / "headrace").exists():
        raise SystemExit("target/debug/headrace is missing: run 'cargo build'")
    known = known_failures.read()
    rows, passed, failed, expected, not_run = {}, 0, 0, 0, 0
    work = Path(tempfile.mkdtemp(prefix="headrace-interop-"))
    try:
        for suite in chosen(every, options):
            started = time.monotonic()
            outcome = run(suite, known, work, options.against)
            if isinstance(outcome, str):
                not_run += 1
                print(f"NOT RUN {suite.client} {suite.version}, {suite.name}: {outcome}", flush=True)
                rows[suite.key] = table.row(suite, "not run", "", outcome)
                continue
            tell(suite, outcome, time.monotonic() - started)
            passed += len(outcome.passed)
            failed += len(outcome.new)
            expected += len(outcome.failed) - len(outcome.new)
            rows[suite.key] = table.row(suite, len(outcome.passed), len(outcome.failed), outcome.why())
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if not options.against:
        table.write(rows, every)
    print(f"known failures (tests/interop/known-failures.txt): {expected}; suites not run: {not_run}")
    print(f"interop: {passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
