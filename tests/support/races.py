"""Many at once: threads that are let go together, a bridge that sends again, and what must hold when all are done."""

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from django.db import connection
from django.db.models import Q

from accounts.lifecycle import Status, may_move
from accounts.models import Account, LinkSession, Transition
from tests.support.portal import Portal
from webhooks.inbox import process
from webhooks.models import WebhookEvent

PHONES = ["6281100000001", "6281100000002", "6281100000003", "6281100000004"]

TRIES_OF_A_BRIDGE = 4  # contract, section 1.2

numbers = itertools.count()


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Each call in a thread of its own, all let go together; what each gave or raised, in their order."""
    gate = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        try:
            connection.ensure_connection()
            gate.wait(timeout=30)
            return call()
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def until_taken(send: Callable[[], Any]) -> Any:
    """The answer, as a bridge gets it: SQLite under load may be `BUSY`, and nothing was kept then. It sends again."""
    for _ in range(TRIES_OF_A_BRIDGE - 1):
        answer = _request(send)
        if answer.status_code not in {429, 503} or answer.json()["error"]["code"] != "BUSY":
            return answer
        time.sleep(answer.json()["error"]["retry_after"])
    return _request(send)


def _request(send: Callable[[], Any]) -> Any:
    """Its connection ends with it, as in production: a webhook's does not wait long (accounts/db/transactions.py)."""
    try:
        return send()
    finally:
        connection.close()


def tell(portal: Portal, event: str, session: LinkSession, **more: Any) -> str:
    """The portal's word for what became of the event. No two bodies are alike: none is a replay of another."""
    answer = until_taken(partial(portal.post, event, session, number=next(numbers), **more))
    assert answer.status_code == 200, answer.content
    return str(answer.json()["outcome"])


def assert_every_history_is_a_legal_chain() -> None:
    """Of all accounts at once: the state machine asks after each of its two thousand steps."""
    moves: defaultdict[int, list[tuple[str, str]]] = defaultdict(list)
    for account_id, old, new in Transition.objects.order_by("pk").values_list("account_id", "old", "new"):
        moves[account_id].append((old, new))
    for pk, status in Account.objects.values_list("pk", "status"):
        at = str(Status.INACTIVE)
        for old, new in moves[pk]:
            assert old == at, "each row's old is the previous row's new"
            assert new == old or may_move(Status(old), Status(new)), f"{old} -> {new}"  # the same: a note
            at = new
        assert status == at


def assert_nothing_failed() -> None:
    """Whoever waited for a lock in vain is tried again, as by the sweep. There are no deadlocks."""
    in_vain = Q(error__contains="database is locked") | Q(error__contains="Lock wait timeout")
    for event in WebhookEvent.objects.filter(in_vain, state=WebhookEvent.State.FAILED):
        process.retry(event.pk)
    done = [WebhookEvent.State.APPLIED, WebhookEvent.State.IGNORED]
    assert not WebhookEvent.objects.exclude(state__in=done).values_list("event", "state", "error")


def assert_nothing_raised(results: list[object]) -> None:
    assert not [result for result in results if isinstance(result, Exception)], results
