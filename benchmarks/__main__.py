"""All of it, one after the other: make bench, or python -m benchmarks [--quick] [--embedded] (on SQLite alone)."""

import importlib.util
import os
import re
import subprocess
import sys

from benchmarks import ingest
from benchmarks.bare_sockets import last_told
from benchmarks.report import row, save, show_rows

FOUND = {
    "last_ms": re.compile(r"last after (\d+) ms"),
    "idle_percent": re.compile(r"idle ([\d.]+)%"),
    "closed_s": re.compile(r"closed within ([\d.]+) s"),
}


def main() -> None:
    options = ingest.parse(sys.argv[1:])
    ingest.main()
    if options.embedded:
        return
    sockets(quick=options.quick)
    if importlib.util.find_spec("benchmarks.lists"):
        subprocess.run([sys.executable, "-m", "benchmarks.lists"], check=True)


def sockets(*, quick: bool) -> None:
    """The status of one account to 1,000 pages, and 10,000 pages that only stand there."""
    count = 200 if quick else 1_000
    bare = last_told(count)
    print(f"\n{count} bare sockets of the same server: last told after {bare:.0f} ms")
    told, idle = pages(count), pages(500 if quick else 10_000)
    rows = [
        row("status to the last page", told["last_ms"], "<= 200", told["last_ms"] <= 200, unit="ms"),
        row("a core, while all are idle", idle["idle_percent"], "<= 20", idle["idle_percent"] <= 20, unit="%"),
        row("status to the last idle page", idle["last_ms"], "<= 300", idle["last_ms"] <= 300, unit="ms"),
        row("all closed at once", idle["closed_s"], "<= 1", idle["closed_s"] <= 1, unit="s"),
    ]
    show_rows(rows)
    save("sockets", {"bare_last_ms": bare, "told": told, "idle": idle, "rows": rows})


def pages(count: int) -> dict[str, float]:
    """On SQLite: it makes its rows in the very database that DATABASE_URL names."""
    env = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"} | {"SOCKETS": str(count)}
    command = [sys.executable, "-m", "benchmarks.sockets"]
    said = subprocess.run(command, env=env, stdout=subprocess.PIPE, check=True, text=True)
    print(said.stdout)
    return {name: float(match[1]) for name, pattern in FOUND.items() if (match := pattern.search(said.stdout))}


if __name__ == "__main__":
    main()
