"""Hearing a bridge with 50, 500 and 3,000 sessions: python -m benchmarks.reconcile (on the environment's database).

It makes a test database, and says for a heartbeat, a poll and the comparison alone how many queries each takes, and
what it costs against 50 sessions, in the same run: the milliseconds are of the machine, the ratios are of the code.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.measuring import count_queries, median, on_a_test_database

SIZES, ROUNDS = (50, 500, 3_000), 15


def measure() -> None:
    from accounts.models import Account, LinkSession

    first: dict[str, float] = {}
    for size in SIZES:
        with bridge_with(size) as doings:
            for name, do in doings.items():
                do()
                queries, taken = count_queries(do), median(do, rounds=ROUNDS)
                ratio = taken / first.setdefault(name, taken)
                print(f"{size:>5} sessions, {name:<10} {queries:>3} queries {taken:>8.1f} ms, ratio {ratio:.1f}")
        assert LinkSession.objects.filter(absent_polls__gt=0).count() == 0
        LinkSession.objects.all().delete()
        Account.objects.all().delete()


@contextmanager
def bridge_with(size: int) -> Iterator[dict[str, Callable[[], Any]]]:
    """What is measured, with a real HTTP server as the bridge of so many links."""
    from django.test import Client

    from accounts.bridges.client import Running
    from accounts.models import Bridge, BridgeSecret
    from accounts.reconcile import polling, run
    from accounts.reconcile.said import Said
    from tests.support.misbehaving import misbehaving_bridge
    from tests.support.signing import signed_headers
    from webhooks.authentication import forget_secrets

    with misbehaving_bridge() as node:
        bridge = Bridge.objects.create(name=f"bridge of {size}", url=node.url, capacity=5_000)
        BridgeSecret.objects.create(bridge=bridge, kind=BridgeSecret.Kind.HMAC, value=f"hmac-{size}")
        forget_secrets()
        ids = fill(bridge, size)
        node.running, node.says = set(ids), dict.fromkeys(ids, "connected")
        rows = [{"session_id": name, "status": "connected"} for name in ids]
        listed = {name: Running(name, "connected") for name in ids}
        client = Client()

        def beat() -> None:
            body = {"library": "x", "version": "1", "sessions": rows}
            raw, headers = signed_headers(f"hmac-{size}", body)
            answer = client.post("/api/whatsapp/bridges/heartbeat", raw, "application/json", headers=headers)
            assert answer.json() == {"success": True, "stop": [], "restore": []}

        yield {
            "heartbeat": beat,
            "poll": lambda: polling.poll(bridge.pk),
            "comparison": lambda: run.run(bridge, Said(listed=listed)),
        }


def fill(bridge: Any, size: int) -> list[str]:
    from datetime import timedelta

    from django.utils import timezone

    from accounts.lifecycle import Status
    from accounts.models import Account, LinkSession, Workspace

    workspace, _ = Workspace.objects.get_or_create(name="Large")
    long_ago = timezone.now() - timedelta(hours=1)
    Account.objects.bulk_create(
        Account(workspace=workspace, phone_number=f"62811{n:07}", status=Status.CONNECTED, status_changed_at=long_ago)
        for n in range(size)
    )
    facts = {"bridge": bridge, "started_at": long_ago, "authenticated_at": long_ago, "connected_at": long_ago}
    accounts = Account.objects.order_by("pk")
    LinkSession.objects.bulk_create(
        LinkSession(session_id=f"webjs_{size}_{n}", account=account, last_seen_at=timezone.now(), **facts)
        for n, account in enumerate(accounts)
    )
    return [f"webjs_{size}_{n}" for n in range(size)]


if __name__ == "__main__":
    on_a_test_database(measure)
