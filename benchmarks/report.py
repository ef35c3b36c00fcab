"""Prints the figures, and keeps them in var/bench/."""

import json
import platform
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from benchmarks.contestants import Ratio
from tests.support import ROOT

HEADS = ("a second", "lowest", "highest", "CPU us", "conn.", "p50 ms", "p99 ms")
MEDIANS = {"cpu_us": ",.0f", "connections": ".2f", "p50_ms": ".1f", "p99_ms": ".1f"}
FOLDER = ROOT / "var" / "bench"


def save(name: str, figures: dict[str, Any]) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    when = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "python": platform.python_version()}
    (FOLDER / f"{name}.json").write_text(json.dumps(when | figures, indent=1))


def table(taken: dict[str, list[dict[str, Any]]], ratios: Sequence[Ratio]) -> list[dict[str, Any]]:
    """Each ratio is the median over the rounds of the ratios within a round."""
    rows = []
    for ratio in ratios:
        pairs = zip(taken[ratio.of], taken[ratio.to], strict=True)
        each = [of["per_second"] / to["per_second"] for of, to in pairs if to["per_second"]]
        found = statistics.median(each) if each else 0
        spread = [min(each, default=0), max(each, default=0)]
        rows.append(row(f"{ratio.of} / {ratio.to}", found, f">= {ratio.reach:g}", found >= ratio.reach, spread))
    return rows


def row(
    name: str, found: float, reach: str, reached: bool, spread: Sequence[float] = (), unit: str = ""
) -> dict[str, Any]:
    return {"name": name, "found": found, "reach": reach, "reached": reached, "spread": list(spread), "unit": unit}


def show(title: str, taken: dict[str, list[dict[str, Any]]], rows: list[dict[str, Any]]) -> None:
    print(f"\n{title}: medians of {max(map(len, taken.values()), default=0)} rounds that took turns")
    print(f"{'':<26}" + "".join(f"{head:>9}" for head in HEADS) + "  answers")
    for name, rounds in taken.items():
        rates = [each["per_second"] for each in rounds]
        numbers = f"{statistics.median(rates):>9,.0f}{min(rates):>9,.0f}{max(rates):>9,.0f}"
        for key, form in MEDIANS.items():
            numbers += f"{statistics.median(each.get(key, 0) for each in rounds):>9{form}}"
        print(f"{name:<26}{numbers}  {answers(rounds)}")
    show_rows(rows)


def answers(rounds: list[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for each in rounds:
        for status, count in each.get("statuses", {}).items():
            counts[status] = counts.get(status, 0) + count
    applied = {each["all applied"] for each in rounds if "all applied" in each}
    return ", ".join(f"{status}: {count}" for status, count in sorted(counts.items())) + (
        "; NOT all applied" if False in applied else ""
    )


def show_rows(rows: list[dict[str, Any]]) -> None:
    print(f"\n{'':<58}{'found':>10}{'to reach':>12}   spread")
    for each in rows:
        spread = " to ".join(f"{value:.3g}" for value in each["spread"])
        verdict = "reached" if each["reached"] else "NOT REACHED"
        print(f"{each['name']:<58}{each['found']:>8.3g}{each['unit']:<3}{each['reach']:>11}   {spread:<16} {verdict}")
