"""GET status with 3,000 accounts: python -m benchmarks.status (on the database that the environment names).

It makes a test database, and says the median of whole requests and how that stands to reading the same rows bare, in
the same run: the milliseconds are of the machine, the ratio is of the code.
"""

from typing import Any

from benchmarks.measuring import count_queries, median, on_a_test_database

ACCOUNTS, ROUNDS = 3_000, 30


def measure() -> None:
    from django.db import connection
    from django.test import Client

    from accounts.models import Account
    from api.models import WorkspaceToken
    from api.status import COLUMNS

    workspace = fill()
    headers = {"Authorization": f"Bearer {WorkspaceToken.issue(workspace.pk)}"}
    client = Client()

    def ask() -> Any:
        return client.get("/api/whatsapp/status", headers=headers)

    def read_bare() -> None:
        assert len(list(Account.objects.filter(workspace=workspace).values_list(*COLUMNS))) == ACCOUNTS

    assert len(ask().json()["data"]["accounts"]) == ACCOUNTS
    queries = count_queries(ask)
    whole, bare = median(ask, rounds=ROUNDS), median(read_bare, rounds=ROUNDS)
    print(f"{connection.vendor}, {ACCOUNTS} accounts, {queries} queries, median of {ROUNDS}")
    print(f"GET status {whole:.1f} ms; the rows alone {bare:.1f} ms; ratio {whole / bare:.1f}")


def fill() -> Any:
    from datetime import timedelta

    from django.utils import timezone

    from accounts.lifecycle import Status
    from accounts.models import Account, Bridge, LinkSession, Workspace

    workspace = Workspace.objects.create(name="Large")
    bridge = Bridge.objects.create(name="alpha", url="http://127.0.0.1:1", capacity=5_000)
    states = [Status.CONNECTED] * 90 + [Status.DISCONNECTED] * 9 + [Status.QR_SCANNING]
    Account.objects.bulk_create(
        Account(workspace=workspace, label=f"Toko {n}", phone_number=f"62811{n:07}", status=states[n % 100])
        for n in range(ACCOUNTS)
    )
    now = timezone.now()  # the pairings, too, are of five minutes ago: lapsed, and nobody has noticed
    LinkSession.objects.bulk_create(
        LinkSession(
            session_id=f"webjs_1_{n}",
            account=account,
            bridge=bridge,
            started_at=now - timedelta(minutes=5),
            admitted_at=now - timedelta(minutes=5),
            connected_at=now,
            last_seen_at=now,
        )
        for n, account in enumerate(Account.objects.order_by("pk"))
    )
    sessions = {session.account_id: session for session in LinkSession.objects.all()}
    accounts = list(Account.objects.all())
    for account in accounts:
        account.current_session = sessions[account.pk]
    Account.objects.bulk_update(accounts, ["current_session"], batch_size=500)
    return workspace


if __name__ == "__main__":
    on_a_test_database(measure)
