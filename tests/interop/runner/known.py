"""tests/interop/known-failures.txt: which tests of which suite fail, and why that is not (or not yet) mended.

One a line: `suite | test | reason`. The test may be a pattern (`*`); `suite` is the key that `tests/interop/run --list`
shows. A test that fails without standing here fails the run; one that stands here and passes is told, so that the line
goes away.
"""

from fnmatch import fnmatchcase
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "known-failures.txt"


def read():
    known = []
    for number, line in enumerate(FILE.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split(" | ")]
        if len(parts) != 3 or not all(parts):
            raise SystemExit(f"{FILE.name}:{number}: not `suite | test | reason`")
        known.append(tuple(parts))
    return known


def reason(known, suite, test):
    """Why the test is expected to fail, or None."""
    for in_suite, pattern, why in known:
        if in_suite == suite and fnmatchcase(test, pattern):
            return why
    return None


def patterns(known, suite):
    return [pattern for in_suite, pattern, _ in known if in_suite == suite]
