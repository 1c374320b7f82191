"""One Headrace broker of the run: its own directory and ports, the settings that foreign suites expect, restarts."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

# How long a start may take, in seconds: a debug build on a busy machine.
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 60

# Foreign suites join groups by the hundred and give members a second: Kafka's own test settings.
CONFIG = """\
[broker]
partitions = {partitions}
auto_create = true
group_initial_rebalance_delay_ms = 0
group_min_session_timeout_ms = 1000
"""


class BrokerDied(Exception):
    """The broker stopped although nobody asked it to, or did not start."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Broker:
    """`target/debug/headrace serve`, alone on the loopback."""

    def __init__(self, binary, directory, partitions=4, port=None):
        self.binary = binary
        self.directory = Path(directory)
        self.directory.mkdir(parents=True)
        self.port = port or free_port()
        self.http = free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.log = self.directory / "broker.log"
        self.config = self.directory / "headrace.toml"
        self.config.write_text(CONFIG.format(partitions=partitions))
        self.process = None

    def start(self):
        command = [self.binary, "serve", "--config", self.config, "--data", self.directory / "data",
                   "--listen", self.bootstrap, "--http", f"127.0.0.1:{self.http}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        raise BrokerDied(f"the broker did not start:\n{self.tail()}")

    def stop(self):
        """In order (SIGTERM); anything but exit code 0 is a failure."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.kill()
            raise BrokerDied(f"the broker did not stop within {STOP_SECONDS_MAX} s") from None
        self.process = None
        if status != 0:
            raise BrokerDied(f"the broker stopped with exit code {status}:\n{self.tail()}")

    def kill(self):
        """Without warning (SIGKILL)."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def died(self):
        return self.process is not None and self.process.poll() is not None

    def resident_mib(self):
        """Memory it holds, for the line that a suite ends with."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
        except (OSError, AttributeError):
            return 0
        line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0")
        return int(line.split()[1]) // 1024

    def tail(self, lines=15):
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def remove_data(self):
        shutil.rmtree(self.directory / "data", ignore_errors=True)


class Foreign(Broker):
    """A broker that somebody else runs (`--against HOST:PORT`), to compare with; it cannot be restarted."""

    def __init__(self, bootstrap, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True)
        self.bootstrap = bootstrap
        self.port = int(bootstrap.rsplit(":", 1)[1])
        self.log = self.directory / "broker.log"
        self.process = None

    def start(self):
        """It runs."""

    def stop(self):
        """It goes on."""

    def kill(self):
        """It goes on."""


def environment(**more):
    """What the commands of a suite are given: this process's environment and more."""
    return {**os.environ, **{key: str(value) for key, value in more.items()}}
