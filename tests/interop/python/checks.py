"""What the Python programs share: a line per check (`ok NAME` or `FAILED NAME :: why`), waiting, comparing."""

import asyncio
import os
import sys
import time
import traceback

# A check that waits longer has failed.
SECONDS_MAX = 60
RUN = f"{int(time.time() * 1000):x}"


class Checks:
    def __init__(self):
        self.bootstrap = sys.argv[1]
        self.only = sys.argv[2] if len(sys.argv) > 2 else None
        self.failed = False

    def check(self, name, function, *arguments):
        if self.only and self.only not in name:
            return
        try:
            done = function(*arguments)
            if asyncio.iscoroutine(done):
                asyncio.run(asyncio.wait_for(done, 3 * SECONDS_MAX))
            print(f"ok {name}", flush=True)
        except BaseException as failure:  # noqa: BLE001 - whatever it is, it is this check's failure
            self.failed = True
            print(f"FAILED {name} :: {type(failure).__name__}: {' '.join(str(failure).split())}", flush=True)
            traceback.print_exc(file=sys.stdout)

    def end(self):
        """Clients that hang are not waited for."""
        sys.stdout.flush()
        os._exit(1 if self.failed else 0)


def unique(name):
    """A name of this run: the checks may be run again on the same broker."""
    return f"{name}-{RUN}"


def same(what, got, wanted):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def expect(what, holds):
    if not holds:
        raise AssertionError(what)


def until(what, condition):
    """Waits for a condition, looked at ten times a second."""
    end = time.monotonic() + SECONDS_MAX
    while True:
        found = condition()
        if found:
            return found
        expect(f"not within {SECONDS_MAX} s: {what}", time.monotonic() < end)
        time.sleep(0.1)
