"""The rows that the webhooks are about, on the test database: a bridge, open sessions, sessions that are pairing."""

import itertools
from typing import Any

BRIDGE, SECRET = "bench", "bench-hmac"
PLENTY = 10_000_000  # a budget that is never reached
WORKSPACES = 8  # the sessions that pair are spread over them, as starts of one workspace go one by one
_phones = itertools.count(1)


def build() -> None:
    """Make the bridge, and the peers' table on the same database."""
    from django.db import connection

    from benchmarks.peers.models import PeerMessage
    from tests.support.portal import make_bridge

    make_bridge(BRIDGE, capacity=100_000)
    with connection.schema_editor() as editor:
        editor.create_model(PeerMessage)


def workspace(**budgets: int) -> Any:
    from accounts.models import Workspace

    number = next(_phones)
    return Workspace.objects.create(name=f"Bench {number}", **budgets)


def plenty() -> Any:
    return workspace(messages_per_minute=PLENTY, lifecycle_per_minute=PLENTY, others_per_minute=PLENTY)


def sessions(count: int, *workspaces: Any, connected: bool) -> list[str]:
    """Make open sessions, connected or with their QR code just shown, and give their ids, each of which ends in the
    phone's digits."""
    from datetime import timedelta

    from django.utils import timezone

    from accounts.lifecycle import Status
    from accounts.models import Account, Bridge, LinkSession

    now, phones = timezone.now(), [f"62811{next(_phones):07}" for _ in range(count)]
    status = Status.CONNECTED if connected else Status.QR_SCANNING
    facts = {"started_at": now - timedelta(seconds=5), "admitted_at": now - timedelta(seconds=5), "first_qr_at": now}
    if connected:
        facts |= {"authenticated_at": now, "connected_at": now, "last_connected_at": now, "last_seen_at": now}
    owners = itertools.cycle(workspaces)
    Account.objects.bulk_create(
        Account(
            workspace=next(owners),
            label=phone,
            phone_number=phone if connected else None,
            status=status,
            first_linked_at=now if connected else None,
        )
        for phone in phones
    )
    accounts = {each.label: each for each in Account.objects.filter(label__in=phones)}
    bridge = Bridge.objects.get(name=BRIDGE)
    ids = {phone: f"webjs_1_{phone}" for phone in phones}
    LinkSession.objects.bulk_create(
        LinkSession(session_id=ids[phone], account=accounts[phone], bridge=bridge, **facts) for phone in phones
    )
    for session in LinkSession.objects.filter(session_id__in=ids.values()):
        accounts[session.session_id.rpartition("_")[2]].current_session = session
    Account.objects.bulk_update(accounts.values(), ["current_session"], batch_size=500)
    return list(ids.values())
