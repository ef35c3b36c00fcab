"""Floods one account, and counts what a Node bridge of ten sockets loses and how long its lifecycle events wait."""

from typing import Any

from benchmarks import world
from benchmarks.report import row, save, show_rows
from benchmarks.servers import Server, send

BUDGET = 6_000  # messages a minute of the flooded session, less in a shorter run; the flood is five times that
TIMES = 5
READY_A_SECOND = 5


def measure(server: Server, *, quick: bool) -> None:
    seconds = 10 if quick else 60
    found = {f"{rate} a second": once(server, rate, seconds) for rate in (50, 200)}
    rows = []
    for name, came in found.items():
        lost, ready = sum(came["lost"].values()), came["longest_ms"].get("session_ready", float("inf"))
        rows.append(row(f"lost of {came['sent']['message_received']}, at {name}", lost, "0", lost == 0))
        rows.append(row(f"longest session_ready, at {name}", ready, "<= 2000", ready <= 2000, unit="ms"))
    calm, flooded = (
        once(server, rate, seconds, messages_per_minute=BUDGET * seconds // 60, lifecycle_per_minute=world.PLENTY)
        for rate in (0, TIMES * BUDGET // 60)
    )
    slower = flooded["p99_ms"].get("session_ready", float("inf")) / calm["p99_ms"]["session_ready"]
    rows.append(row("lifecycle p99, flooded / calm", slower, "<= 1.5", slower <= 1.5))
    show_rows(rows)
    save("flood", {"seconds": seconds, "calm": calm, "flooded": flooded, "steady": found, "rows": rows})


def once(server: Server, rate: int, seconds: int, **budgets: int) -> dict[str, Any]:
    """The sessions that become ready are of another workspace of the same bridge."""
    (flooded,) = world.sessions(1, world.workspace(**budgets), connected=True)
    ready = world.sessions(READY_A_SECOND * seconds, world.plenty(), connected=False)
    plan = {"port": server.port, "secret": world.SECRET, "seconds": seconds}
    return send("benchmarks.node", plan | {"flood": rate, "flooded": flooded, "ready": ready})
