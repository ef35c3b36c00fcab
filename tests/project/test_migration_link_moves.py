"""The migration that gives moves to other bridges a table, with a move in it at each of its steps, both ways."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.apps.registry import Apps
from django.utils import timezone

from accounts.bridges import ownership
from accounts.models import BridgeOrder, LinkMove, LinkSession
from accounts.reconcile import relocation
from tests.support import migrations
from tests.support.migrations import migrate, newest_after_all
from tests.support.portal import make_bridge

NAME = ("accounts", "0011_link_moves")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)

pytestmark = pytest.mark.django_db(transaction=True)


__all__ = ["newest_after_all"]


def before() -> list[migrations.Name]:
    return [name for name in migrations.before(NAME) if name[0] == NAME[0]]


class Old:
    """The tables as they were, with a bridge each for the names of `bridges`."""

    def __init__(self, apps: Apps) -> None:
        self.apps, self.count = apps, 0
        workspace = apps.get_model("accounts", "Workspace").objects.create(name="Toko Alice")
        self.account = apps.get_model("accounts", "Account").objects.create(workspace=workspace, status="disconnected")
        bridges = apps.get_model("accounts", "Bridge").objects
        self.bridges = {
            name: bridges.create(name=name, url="http://127.0.0.1:1") for name in ("alpha", "beta", "gamma")
        }

    def session(self, bridge: str) -> Any:
        self.count += 1
        account = self.apps.get_model("accounts", "Account").objects.create(workspace=self.account.workspace)
        made = self.apps.get_model("accounts", "LinkSession").objects
        return made.create(session_id=f"webjs_1_1_{self.count}", account=account, bridge=self.bridges[bridge])

    def order(self, session: Any, kind: str, bridge: str, *, ago: timedelta, **more: Any) -> Any:
        when = timezone.now() - ago
        values = {"kind": kind, "why": "staff", "created_at": when, "state": "confirmed", **more}
        return session.orders.create(bridge=self.bridges[bridge], **values)


def rows(session: Any) -> list[tuple[Any, ...]]:
    found = LinkMove.objects.filter(session=session.pk).order_by("pk")
    return list(found.values_list("from_bridge__name", "to_bridge__name", "state"))


def whys(session: Any) -> list[tuple[str, str]]:
    return list(BridgeOrder.objects.filter(session=session.pk).order_by("pk").values_list("kind", "why"))


def waits(session: Any) -> bool:
    return LinkSession.objects.filter(ownership.waits_for_stop(), pk=session.pk).exists()


def waited(apps: Apps, session: Any, *, since: datetime) -> bool:
    """As the code before the migration read it from the orders."""
    now = apps.get_model("accounts", "LinkSession").objects.get(pk=session.pk)
    stops = now.orders.filter(kind="stop", why="staff", created_at__gt=since).exclude(bridge=now.bridge_id)
    return any(not now.orders.filter(kind="start", bridge=now.bridge_id, pk__gt=stop.pk).exists() for stop in stops)


@pytest.mark.usefixtures("newest_after_all")
class TestForwards:
    @pytest.fixture
    def old(self) -> Old:
        return Old(migrate(*before()))

    def test_one_that_waits_for_its_stop_is_open_and_goes_on(self, old: Old) -> None:
        session = old.session("beta")
        stop = old.order(session, "stop", "alpha", ago=HOUR, state="confirmed")
        migrate()
        row = LinkMove.objects.get(session=session.pk)
        assert rows(session) == [("alpha", "beta", "waits_for_stop")]
        assert (row.stop_id, row.started_at) == (stop.pk, stop.created_at)
        assert waits(session)
        assert whys(session) == [("stop", "move")]
        relocation.go_on(session.pk)
        relocation.go_on(session.pk)
        assert whys(session) == [("stop", "move"), ("start", "move")]
        assert not waits(session)

    def test_one_that_was_started(self, old: Old) -> None:
        session = old.session("beta")
        old.order(session, "stop", "alpha", ago=HOUR)
        start = old.order(session, "start", "beta", ago=HOUR / 2, state="pending")
        migrate()
        assert rows(session) == [("alpha", "beta", "started")]
        assert LinkMove.objects.get().state_changed_at == start.created_at
        assert not waits(session)

    def test_one_that_was_given_up(self, old: Old) -> None:
        session = old.session("alpha")
        old.order(session, "stop", "alpha", ago=HOUR, state="cancelled", closed_at=timezone.now())
        migrate()
        assert rows(session) == [("alpha", None, "given_up")]
        assert not waits(session)

    def test_one_that_was_given_back(self, old: Old) -> None:
        session = old.session("alpha")
        old.order(session, "stop", "alpha", ago=HOUR)
        old.order(session, "start", "beta", ago=HOUR / 2)
        old.order(session, "stop", "beta", ago=HOUR / 3, why="reconcile")
        migrate()
        assert rows(session) == [("alpha", "beta", "given_back")]
        assert whys(session)[-1] == ("stop", "reconcile")

    def test_one_that_nobody_waits_for_any_more(self, old: Old) -> None:
        session = old.session("beta")
        old.order(session, "stop", "alpha", ago=DAY + HOUR, state="failed")
        migrate()
        assert rows(session) == [("alpha", "beta", "lapsed")]
        assert not waits(session)

    def test_several_of_one_session(self, old: Old) -> None:
        """Given up, then moved and given back, moved and started, and moved on: only the last waits."""
        session = old.session("gamma")
        old.order(session, "stop", "alpha", ago=9 * HOUR, state="cancelled")
        old.order(session, "stop", "alpha", ago=8 * HOUR)
        old.order(session, "start", "beta", ago=7 * HOUR)
        old.order(session, "stop", "alpha", ago=6 * HOUR)
        old.order(session, "start", "beta", ago=5 * HOUR)
        old.order(session, "stop", "beta", ago=HOUR, state="unclear")
        migrate()
        assert rows(session) == [
            ("alpha", None, "given_up"),
            ("alpha", "beta", "given_back"),
            ("alpha", "beta", "started"),
            ("beta", "gamma", "waits_for_stop"),
        ]

    def test_of_what_else_staff_had_ordered_nothing_becomes_a_move(self, old: Old) -> None:
        session = old.session("alpha")
        old.order(session, "test_message", "alpha", ago=HOUR)
        old.order(session, "check", "alpha", ago=HOUR)
        old.order(session, "stop", "beta", ago=HOUR, why="reconcile")
        migrate()
        assert rows(session) == []
        assert whys(session) == [("test_message", "staff"), ("check", "staff"), ("stop", "reconcile")]


@pytest.mark.usefixtures("newest_after_all")
class TestBackwards:
    @pytest.fixture
    def moved(self, session: LinkSession) -> LinkSession:
        """On beta, where it came from alpha an hour ago, and waits."""
        alpha, session.bridge = session.bridge, make_bridge("beta")
        session.save()
        session.orders.all().delete()
        then = timezone.now() - HOUR
        stop = session.orders.create(bridge=alpha, kind="stop", why="move", created_at=then)
        session.moves.create(from_bridge=alpha, to_bridge=session.bridge, stop=stop, started_at=then)
        return session

    def started(self, session: LinkSession) -> None:
        session.moves.get().advance(LinkMove.State.STARTED)
        session.orders.create(bridge=session.bridge, kind="start", why="move", state="confirmed")

    @pytest.mark.parametrize("are_there", [True, False])
    def test_one_that_waits_is_read_from_its_orders_again(self, moved: LinkSession, are_there: bool) -> None:
        if not are_there:
            moved.orders.all().delete()
        old = migrate(*before())
        assert whys(moved) == [("stop", "staff")]
        assert waited(old, moved, since=timezone.now() - DAY)
        migrate()
        assert rows(moved) == [("alpha", "beta", "waits_for_stop")]

    @pytest.mark.parametrize("are_there", [True, False])
    def test_one_that_was_started_is_not_started_again(self, moved: LinkSession, are_there: bool) -> None:
        self.started(moved)
        if not are_there:
            moved.orders.all().delete()
        old = migrate(*before())
        assert whys(moved) == [("stop", "staff"), ("start", "staff")]
        assert not waited(old, moved, since=timezone.now() - DAY)
        migrate()
        assert rows(moved) == [("alpha", "beta", "started")]

    @pytest.mark.parametrize("are_there", [True, False])
    @pytest.mark.parametrize("state", [LinkMove.State.GIVEN_UP, LinkMove.State.GIVEN_BACK])
    def test_one_that_went_back(self, moved: LinkSession, state: LinkMove.State, are_there: bool) -> None:
        if state == LinkMove.State.GIVEN_BACK:
            self.started(moved)
        LinkMove.objects.update(state=state)
        LinkSession.objects.update(bridge=LinkMove.objects.get().from_bridge)
        if not are_there:
            moved.orders.all().delete()
        old = migrate(*before())
        assert not waited(old, moved, since=timezone.now() - DAY)
        migrate()
        assert rows(moved)[0][2] == state

    def test_only_the_orders_of_moves_are_changed(self, moved: LinkSession) -> None:
        moved.orders.create(bridge=moved.bridge, kind="test_message", why="staff")
        moved.orders.create(bridge=moved.bridge, kind="stop", why="reconcile")
        migrate(*before())
        assert whys(moved) == [("stop", "staff"), ("test_message", "staff"), ("stop", "reconcile")]

    def test_an_old_one_without_orders_stays_forgotten(self, moved: LinkSession) -> None:
        self.started(moved)
        moved.orders.all().delete()
        LinkMove.objects.update(started_at=timezone.now() - 2 * DAY)
        migrate(*before())
        assert whys(moved) == []
