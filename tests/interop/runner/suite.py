"""What a suite is, and what it is given: a broker, a folder to build in, and places to say what passed and what failed."""

import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from broker import environment

ROOT = Path(__file__).resolve().parents[3]
# Everything that is fetched or built: nothing of it is committed.
BUILT = ROOT / "target" / "interop"
# A check that runs longer hangs.
SECONDS_MAX = 600


class NotRun(Exception):
    """The suite cannot run on this machine; the message says what is missing and how to get it."""


@dataclass
class Suite:
    """One row of the table."""

    client: str
    version: str
    name: str
    run: Callable
    quick: bool = True
    # builds or fetches what it needs below target/interop; raises NotRun
    prepare: Callable = lambda: None
    partitions: int = 4
    port: int | None = None

    @property
    def key(self):
        """What `tests/interop/run` and known-failures.txt call it."""
        return re.sub(r"[^a-z0-9.+]+", "-", f"{self.client} {self.name}".lower()).strip("-")


@dataclass
class Context:
    """A suite's run."""

    broker: object
    work: Path
    log: Path
    results: list = field(default_factory=list)
    skipped: list = field(default_factory=list)

    @property
    def bootstrap(self):
        return self.broker.bootstrap

    def say(self, text):
        with self.log.open("a") as log:
            log.write(text if text.endswith("\n") else text + "\n")

    def record(self, test, passed, why=""):
        """One result; `why` is one line."""
        self.results.append((test, passed, why))

    def skip(self, test):
        """The suite itself left this test out: neither passed nor failed, but told."""
        self.skipped.append(test)

    def command(self, command, cwd=None, seconds=SECONDS_MAX, stdin=None, check=False, **more):
        """Runs a command; gives its exit code and its output. What it said is in the suite's log."""
        command = [str(word) for word in command]
        self.say(f"$ {' '.join(command)}")
        try:
            done = subprocess.run(["nice", *command], cwd=cwd, timeout=seconds, input=stdin, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, env=environment(**more), text=True, errors="replace",
                                  stdin=subprocess.DEVNULL if stdin is None else None, check=False)
            status, output = done.returncode, done.stdout
        except subprocess.TimeoutExpired as slow:
            output = slow.stdout or b""
            output = output.decode(errors="replace") if isinstance(output, bytes) else output
            status, output = 124, f"{output}\nnot done after {seconds} s"
        self.say(output)
        if check and status != 0:
            raise AssertionError(f"{Path(command[0]).name} ended with {status}: {last_line(output)}")
        return status, output

    def check(self, name, function, *arguments):
        """One check of our own: passes unless the function raises."""
        started = time.monotonic()
        self.say(f"== {name}")
        try:
            function(*arguments)
            self.record(name, True)
        except Exception as failure:  # noqa: BLE001 - whatever it is, it is this check's failure
            self.say(f"FAILED {name}: {failure!r}")
            self.record(name, False, one_line(failure))
        self.say(f"-- {time.monotonic() - started:.1f} s")

    def expect(self, name, command, **more):
        """A command that must end with 0."""
        self.check(name, lambda: self.command(command, check=True, **more))

    def program(self, command, **more):
        """A program of ours that prints `ok NAME` or `FAILED NAME :: why` per check; an ending without 0 is a failure too."""
        status, output = self.command(command, **more)
        failed = False
        for line in output.splitlines():
            if line.startswith("ok "):
                self.record(line[3:].strip(), True)
            elif line.startswith("FAILED "):
                name, _, why = line[7:].partition(" :: ")
                self.record(name.strip(), False, one_line(why))
                failed = True
        if status != 0 and not failed:
            self.record(f"{Path(str(command[0])).name} runs to its end", False, f"exit code {status}: {last_line(output)}")


def one_line(text, most=200):
    text = " ".join(str(text).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def last_line(output):
    lines = [line for line in output.splitlines() if line.strip()]
    return one_line(lines[-1]) if lines else "no output"


def once(name, sources, build):
    """Builds into target/interop/NAME unless that is newer than its sources; gives the folder."""
    folder = BUILT / name
    done = folder / "done"
    newest = max(path.stat().st_mtime for source in sources for path in files(source))
    if not done.exists() or done.stat().st_mtime < newest:
        folder.mkdir(parents=True, exist_ok=True)
        done.unlink(missing_ok=True)
        build(folder)
        done.touch()
    return folder


def files(source):
    return [path for path in source.rglob("*") if path.is_file()] if source.is_dir() else [source]


def fetch(command, cwd=None, **more):
    """A step of preparing: its output is shown only where it fails."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=environment(**more), text=True, errors="replace", check=False)
    if done.returncode != 0:
        print("\n".join(done.stdout.splitlines()[-25:]))
        raise RuntimeError(f"{' '.join(str(word) for word in command)} ended with {done.returncode}")
    return done.stdout


def tool(command, pattern, at_least, how):
    """Sees that a toolchain is there and new enough; otherwise the suite is not run, and the table says so."""
    try:
        output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
    except FileNotFoundError:
        raise NotRun(f"{command[0]} is missing: {how}") from None
    found = re.search(pattern, output)
    version = tuple(int(part) for part in found.group(1).split(".")[:2]) if found else (0,)
    if version < at_least:
        wanted = ".".join(str(part) for part in at_least)
        raise NotRun(f"needs {command[0]} {wanted} or newer, found {'.'.join(map(str, version))}: {how}")
