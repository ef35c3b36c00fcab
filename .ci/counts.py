"""Compares the closing line of a pytest run with the floor that stands in `.ci/floor`: `.ci/counts.py NAME LOG`.

Prints that line. Ends with 1 where a test failed, fewer passed than the floor says, or more were deselected or skipped.
"""

import re
import sys
from pathlib import Path

FLOOR = Path(__file__).with_name("floor")
CLOSING = re.compile(r"^=* ?((?:\d+ [a-z ]+, )*\d+ [a-z ]+) in \d[\d.]*s\b.*$", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[\d;]*m")
SLACK = 25  # tests that may be added before the floor must be raised
BAD = ("failed", "error", "errors", "xpassed")


def counts_of(closing: str) -> dict[str, int]:
    return {word: int(number) for number, word in re.findall(r"(\d+) ([a-z ]+)", closing)}


def floor_of(run: str) -> dict[str, int]:
    rows = [line.split() for line in FLOOR.read_text().splitlines() if line and not line.startswith("#")]
    (numbers,) = [numbers for name, *numbers in rows if name == run]
    named = zip(("passed", "deselected", "skipped"), numbers, strict=True)
    return {name: int(number) for name, number in named if number != "-"}


def complaints(counts: dict[str, int], floor: dict[str, int]) -> list[str]:
    found = [f"{counts[word]} {word}" for word in BAD if counts.get(word)]
    passed = counts.get("passed", 0)
    if passed < floor["passed"]:
        found.append(f"{passed} passed, the floor is {floor['passed']}: where are the others?")
    if passed > floor["passed"] + SLACK:
        found.append(f"{passed} passed, the floor is {floor['passed']}: raise it in .ci/floor")
    for word in ("deselected", "skipped"):
        if word in floor and counts.get(word, 0) > floor[word]:
            found.append(f"{counts[word]} {word}, {floor[word]} are known")
    return found


def main(run: str, log: str) -> int:
    closing = CLOSING.findall(COLOUR.sub("", Path(log).read_text(errors="replace")))
    if not closing:
        print(f"{run}: pytest printed no closing line")
        return 1
    counts, floor = counts_of(closing[-1]), floor_of(run)
    found = complaints(counts, floor)
    print(f"{run}: {closing[-1]}")
    for complaint in found:
        print(f"{run}: {complaint}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
