"""A link on alpha, and beta to which it moves."""

from collections.abc import Iterator

import pytest
from django.utils import timezone

from accounts.models import Account, Bridge, LinkSession, User
from accounts.reconcile import relocation
from tests.support.links import link, move_back
from tests.support.misbehaving import MisbehavingBridge, misbehaving_bridge
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks

START = ("POST", "/api/sessions")


@pytest.fixture
def other_node() -> Iterator[MisbehavingBridge]:
    with misbehaving_bridge() as node:
        yield node


@pytest.fixture
def bridge(db: None, node: MisbehavingBridge) -> Bridge:
    return make_bridge("alpha", url=node.url, last_heard_at=timezone.now(), heard_since=timezone.now())


@pytest.fixture
def linked(portal: Portal, session: LinkSession, node: MisbehavingBridge) -> LinkSession:
    """Linked since yesterday."""
    run_due_tasks()
    link(portal, session)
    move_back(session, 86400)
    node.running, node.says, node.seen = {session.session_id}, {session.session_id: "connected"}, []
    return session


@pytest.fixture
def beta(linked: LinkSession, other_node: MisbehavingBridge) -> Bridge:
    return make_bridge("beta", url=other_node.url, last_heard_at=timezone.now(), heard_since=timezone.now())


def move(session: LinkSession, bridge: Bridge, *, actor: User | None = None, has_login: bool = True) -> LinkSession:
    return relocation.move(session.account_id, bridge.pk, actor=actor, reason="Its disk is full.", has_login=has_login)


def history(account: Account) -> list[str]:
    return list(account.transitions.filter(trigger="move").order_by("pk").values_list("reason", flat=True))


def calm_down() -> None:
    """No bridge is put aside for a refusal any more."""
    Bridge.objects.update(failing_since=None, orders_wait_until=None)
