"""The table of clients in docs/compatibility.md, between two marks: each run writes the rows of the suites it ran."""

import re

from suite import ROOT

FILE = ROOT / "docs" / "compatibility.md"
BEGIN = "<!-- written by tests/interop/run: begin -->"
END = "<!-- written by tests/interop/run: end -->"
HEAD = "| client | version | suite | passed | failed | why |\n|---|---|---|---|---|---|\n"


def row(suite, passed, failed, why):
    cells = [suite.client, suite.version, suite.name, passed, failed, why or ""]
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def write(rows, order):
    """`rows`: by suite key; other suites' rows stay as they are; `order`: every suite there is, as it shall stand."""
    text = FILE.read_text()
    head, rest = text.split(BEGIN)
    old, tail = rest.split(END)
    kept = {}
    for line in old.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 6 and cells[0] not in ("client", "---"):
            kept[(cells[0], cells[2])] = line
    lines = [rows.get(suite.key) or kept.get((suite.client, suite.name)) for suite in order]
    table = HEAD + "".join(line + "\n" for line in lines if line)
    FILE.write_text(f"{head}{BEGIN}\n{table}{END}{tail}")
