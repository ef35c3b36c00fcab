"""How many webhooks are taken, against floors and peers of the same run: python -m benchmarks.ingest [--quick].

It needs DATABASE_URL and REDIS_URL, and makes a test database beside the one that they name. The contestants take turns
(A B C A B C ...), so that whatever else the machine does meets all of them. `--embedded` measures on SQLite.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import flood, world
from benchmarks.bodies import IN_A_BATCH, message
from benchmarks.contestants import (
    CONTESTANTS,
    EMBEDDED,
    RATIOS,
    RATIOS_EMBEDDED,
    ROWS,
    SERVERS,
    Contestant,
)
from benchmarks.measuring import on_a_test_database
from benchmarks.report import save, show, table
from benchmarks.servers import Server, connections_so_far, running, send

CONNECTIONS = 32
CYCLES_A_SECOND = 120  # sessions that are made ready for it; when they are used up, the round ends

EVENTS_A_REQUEST = {"batches": IN_A_BATCH, "cycles": 1}

Taken = dict[str, list[dict[str, Any]]]  # by contestant, a result for each round


def measure(options: argparse.Namespace) -> None:
    world.build()
    contestants = EMBEDDED if options.embedded else CONTESTANTS
    names = {each.server for each in contestants}
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = {name: stack.enter_context(running(name, SERVERS[name], logs)) for name in SERVERS if name in names}
        taken = rounds(contestants, servers, options)
        ratios = RATIOS_EMBEDDED if options.embedded else RATIOS
        rows = table(taken, ratios)
        show("embedded" if options.embedded else "ingest", taken, rows)
        save("embedded" if options.embedded else "ingest", {"taken": taken, "ratios": rows})
        if not options.embedded:
            flood.measure(servers["product on uvicorn"], quick=options.quick)


def rounds(contestants: list[Contestant], servers: dict[str, Server], options: argparse.Namespace) -> Taken:
    taken: Taken = {}
    plenty = [world.plenty() for _ in range(world.WORKSPACES)]
    connected = world.sessions(CONNECTIONS, *plenty, connected=True)
    for number in range(-1, options.rounds):  # the first one warms up
        for each in contestants:
            seconds = options.seconds if number >= 0 else 1
            sessions = connected
            if each.kind == "cycles":
                sessions = world.sessions(int(CYCLES_A_SECOND * seconds), *plenty, connected=False)
            came = once(each, servers[each.server], sessions, seconds)
            if number >= 0:
                taken.setdefault(each.name, []).append(came)
        if number >= 0 and not options.embedded:
            taken.setdefault(ROWS, []).append(rows_alone(connected[0], options.seconds))
    return taken


def once(each: Contestant, server: Server, sessions: list[str], seconds: float) -> dict[str, Any]:
    plan = {"port": server.port, "path": each.path, "kind": each.kind, "sessions": sessions, "secret": world.SECRET}
    plan |= {"seconds": seconds, "connections": CONNECTIONS, "prepare": 80 if each.kind == "batches" else 8_000}
    before, opened, cpu = stored(each.kind), connections_so_far(), server.cpu()
    came = send("benchmarks.load", plan)
    cpu, opened = server.cpu() - cpu, connections_so_far() - opened
    requests = max(1, sum(came["statuses"].values()))
    events = came["statuses"].get("200", 0)
    if each.kind in EVENTS_A_REQUEST:  # an answer does not say that all was applied
        events = stored(each.kind) - before
        came["all applied"] = events == requests * EVENTS_A_REQUEST[each.kind]
    per = {"cpu_us": cpu / requests * 1e6, "connections": opened / requests}
    return came | per | {"per_second": events / came["seconds"]}


def stored(kind: str) -> int:
    from accounts.models import Message, Transition

    return Transition.objects.count() if kind == "cycles" else Message.objects.count()


def rows_alone(session_id: str, seconds: float) -> dict[str, Any]:
    """Insert messages as a multi-row statement of the driver, a hundred in each commit, on one connection."""
    from django.db import connection, transaction

    from accounts.models import LinkSession, Message

    session = LinkSession.objects.get(session_id=session_id)
    columns = [field for field in Message._meta.local_concrete_fields if not field.primary_key]
    names, marks = (
        ", ".join(connection.ops.quote_name(str(field.column)) for field in columns),
        ", ".join(["%s"] * len(columns)),
    )
    statement = f"INSERT INTO {Message._meta.db_table} ({names}) VALUES ({marks})"

    def row() -> list[Any]:
        said = message(session_id)["data"]["message"]
        made = Message(session=session, message_id=said["id"], sender=said["from"], body=said["body"])
        return [field.get_db_prep_save(field.pre_save(made, True), connection) for field in columns]

    ready = [[row() for _ in range(IN_A_BATCH)] for _ in range(int(seconds * 200))]
    began, cpu, done = time.perf_counter(), time.process_time(), 0
    with connection.cursor() as cursor:
        for values in ready:
            with transaction.atomic():
                cursor.executemany(statement, values)
            done += IN_A_BATCH
            if time.perf_counter() - began > seconds:
                break
    took = time.perf_counter() - began
    return {"seconds": took, "per_second": done / took, "cpu_us": (time.process_time() - cpu) / done * 1e6}


def on_sqlite(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        without = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "REDIS_URL"}}
        command = [sys.executable, "-m", "benchmarks.ingest", "--embedded", *arguments]
        subprocess.run(command, env=without | {"LINKDESK_DATA_DIR": folder}, check=True)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short rounds and floods: for a first look")
    parser.add_argument("--embedded", action="store_true", help="only on SQLite, without services")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of a contestant's turn")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (3 if options.quick else 9)
    options.seconds = options.seconds or (2 if options.quick else 5)
    return options


def main() -> None:
    options = parse(sys.argv[1:])
    if not options.embedded and not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
        sys.exit(
            "Set DATABASE_URL=mysql://user:password@127.0.0.1:3306/linkdesk and REDIS_URL=redis://127.0.0.1:6379/1:"
            "\nthe user must be allowed to create the database test_linkdesk. On SQLite alone: ARGS=--embedded."
        )
    on_a_test_database(lambda: measure(options))
    if not options.embedded:
        on_sqlite(sys.argv[1:])


if __name__ == "__main__":
    main()
