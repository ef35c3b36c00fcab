"""The senders of the benchmarks send what they say, to a real server; each ratio is of contestants that take part."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.bodies import WEBHOOK
from benchmarks.contestants import CONTESTANTS, EMBEDDED, RATIOS, RATIOS_EMBEDDED, ROWS, SERVERS
from benchmarks.report import table
from benchmarks.servers import Server, running, send

SESSIONS = ["webjs_1_628110000001", "webjs_1_628110000002"]


@pytest.fixture
def hello(tmp_path: Path) -> Iterator[Server]:
    with running("hello", SERVERS["hello on daphne"], tmp_path) as server:
        yield server


@pytest.mark.timeout(60)
def test_the_senders_send_and_count(hello: Server) -> None:
    plan = {"port": hello.port, "secret": "s3cret", "seconds": 0.3, "path": WEBHOOK, "connections": 2}
    for kind in ("messages", "batches"):
        came = send("benchmarks.load", plan | {"kind": kind, "sessions": SESSIONS, "prepare": 20})
        assert list(came["statuses"]) == ["200"]
        assert 0 < came["p50_ms"] <= came["p99_ms"]
    came = send("benchmarks.load", plan | {"kind": "cycles", "sessions": SESSIONS, "seconds": 5})
    assert came["statuses"] == {"200": 6}
    came = send("benchmarks.node", plan | {"seconds": 1, "flood": 20, "flooded": SESSIONS[0], "ready": SESSIONS})
    assert came["answers"] == {"200": 22}
    assert came["lost"] == {}
    assert hello.cpu() > 0


def test_each_ratio_is_of_contestants_that_take_part() -> None:
    assert {name for ratio in RATIOS for name in (ratio.of, ratio.to)} <= {each.name for each in CONTESTANTS} | {ROWS}
    assert {name for ratio in RATIOS_EMBEDDED for name in (ratio.of, ratio.to)} <= {each.name for each in EMBEDDED}


def test_a_ratio_is_taken_within_each_round() -> None:
    rounds = [{"per_second": 10.0}, {"per_second": 40.0}, {"per_second": 90.0}]
    others = [{"per_second": 1.0}, {"per_second": 2.0}, {"per_second": 30.0}]
    ratio = RATIOS[0]
    (row,) = table({ratio.of: rounds, ratio.to: others}, [ratio])
    assert (row["found"], row["spread"], row["reached"]) == (10, [3, 20], True)
