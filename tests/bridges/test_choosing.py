"""Which bridge gets a new session, and why another one does not."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.utils import timezone, translation

from accounts.bridges import choosing
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, Workspace
from accounts.orders import outbox
from accounts.pairing import attempts
from tests.support.portal import make_bridge
from tests.support.races import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def alpha(bridge: Bridge) -> Bridge:
    return bridge


@pytest.fixture
def beta(db: None) -> Bridge:
    return make_bridge("beta")


def chosen(workspace: Workspace) -> str:
    return choosing.choose(workspace).name


def ago(seconds: float) -> Any:
    return timezone.now() - timedelta(seconds=seconds)


def run(bridge: Bridge, workspace: Workspace, count: int = 1, status: Status = Status.CONNECTED, **values: Any) -> None:
    """Open sessions of accounts in `status`."""
    for _ in range(count):
        account = Account.objects.create(workspace=workspace, status=status)
        LinkSession.objects.create(session_id=f"s{account.pk}", account=account, bridge=bridge, **values)


def change(bridge: Bridge, **values: Any) -> Bridge:
    Bridge.objects.filter(pk=bridge.pk).update(**values)
    return Bridge.objects.get(pk=bridge.pk)


class TestAPairing:
    def test_goes_to_the_least_loaded_bridge(self, workspace: Workspace, alpha: Bridge, beta: Bridge) -> None:
        run(alpha, workspace)
        session = attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")
        assert session.bridge == beta

    def test_load_is_measured_by_weight(self, workspace: Workspace, alpha: Bridge, beta: Bridge) -> None:
        change(beta, weight=3)
        run(alpha, workspace)
        run(beta, workspace, 2)
        assert chosen(workspace) == "beta"
        run(beta, workspace, 2)
        assert chosen(workspace) == "alpha"

    def test_of_equals_the_first_is_taken(self, workspace: Workspace, alpha: Bridge, beta: Bridge) -> None:
        assert chosen(workspace) == "alpha"

    def test_what_has_ended_is_no_load(self, workspace: Workspace, alpha: Bridge, beta: Bridge) -> None:
        run(alpha, workspace, 3, ended_at=timezone.now())
        assert chosen(workspace) == "alpha"

    def test_a_bridge_that_serves_many_workspaces_is_counted_once(
        self, workspace: Workspace, alpha: Bridge, beta: Bridge
    ) -> None:
        alpha.workspaces.add(workspace, Workspace.objects.create(name="Toko Bob"))
        run(beta, workspace)
        assert [bridge.name for bridge in choosing.eligible(workspace)] == ["alpha", "beta"]
        assert chosen(workspace) == "alpha"

    def test_the_sessions_of_others_are_load_as_well(self, workspace: Workspace, alpha: Bridge, beta: Bridge) -> None:
        run(alpha, Workspace.objects.create(name="Toko Bob"))
        assert chosen(workspace) == "beta"


CANNOT = {
    "silent": ({"last_heard_at": 91}, "not heard of for 1 minute"),
    "silent for long": ({"last_heard_at": 250}, "not heard of for 4 minutes"),
    "never heard": ({"last_heard_at": None}, "never heard of"),
    "draining": ({"draining": True}, "draining"),
    "no weight": ({"weight": 0}, "weight 0"),
    "never ready": (
        {"library": "whatsapp-web.js", "version": "1.26.0"},
        "a version of its library that is known to be bad",
    ),
    "logs out": (
        {"library": "whatsapp-web.js", "version": "1.34.1-alpha.2"},
        "a version of its library that is known to be bad",
    ),
    "full": ({"capacity": 2}, "full: 2 of 2"),
    "over-full": ({"capacity": 1}, "full: 2 of 1"),
}
CAN = {
    "heard of a minute ago": {"last_heard_at": 80},
    "partly mended": {"library": "whatsapp-web.js", "version": "1.33.1"},
    "good": {"library": "whatsapp-web.js", "version": "1.33.2"},
    "unknown version": {"library": "whatsapp-web.js", "version": "2.0"},
    "another library": {"library": "whatsmeow", "version": "1.26.0"},
    "one place left": {"capacity": 3},
}


def prepared(bridge: Bridge, workspace: Workspace, values: dict[str, Any]) -> Bridge:
    run(bridge, workspace, 2)
    heard = values.get("last_heard_at")
    return change(bridge, **values | ({"last_heard_at": ago(heard)} if heard else {}))


class TestWhatBarsABridge:
    @pytest.mark.parametrize(("values", "said"), CANNOT.values(), ids=CANNOT)
    def test_it_gets_nothing_and_says_why(
        self, workspace: Workspace, alpha: Bridge, values: dict[str, Any], said: str
    ) -> None:
        barred = prepared(alpha, workspace, values)
        with pytest.raises(choosing.NoBridgeAvailable):
            choosing.choose(workspace)
        assert [why.replace("\xa0", " ") for why in choosing.why_not(barred)] == [said]

    @pytest.mark.parametrize("values", CAN.values(), ids=CAN)
    def test_others_get_sessions(self, workspace: Workspace, alpha: Bridge, values: dict[str, Any]) -> None:
        free = prepared(alpha, workspace, values)
        assert chosen(workspace) == "alpha"
        assert choosing.why_not(free) == []

    def test_all_reasons_are_said(self, alpha: Bridge) -> None:
        assert len(choosing.why_not(change(alpha, draining=True, weight=0, capacity=0))) == 3

    def test_they_are_said_in_the_readers_language(self, alpha: Bridge) -> None:
        silent = change(alpha, last_heard_at=None)
        with translation.override("id"):
            assert choosing.why_not(silent) != ["never heard of"]

    def test_a_bridge_of_other_workspaces_is_not_asked(self, workspace: Workspace, alpha: Bridge, beta: Bridge) -> None:
        alpha.workspaces.add(Workspace.objects.create(name="Toko Bob"))
        assert [bridge.name for bridge in choosing.eligible(workspace)] == ["beta"]


class TestWhatPutsABridgeBack:
    def test_one_where_attempts_wait_in_line_comes_after_a_fuller_one(
        self, workspace: Workspace, alpha: Bridge, beta: Bridge
    ) -> None:
        run(alpha, workspace, 1, Status.QR_SCANNING, admitted_at=None)
        run(beta, workspace, 9)
        assert chosen(workspace) == "beta"

    def test_so_does_one_that_pairs_as_many_as_it_can(self, workspace: Workspace, alpha: Bridge, beta: Bridge) -> None:
        change(alpha, pairings_at_once=2)
        run(beta, workspace, 9)
        run(alpha, workspace, 1, Status.QR_SCANNING)
        assert chosen(workspace) == "alpha"
        run(alpha, workspace, 1, Status.AUTHENTICATED)
        assert chosen(workspace) == "beta"

    def test_so_does_one_that_is_full_of_what_it_has_yet_to_stop(
        self, workspace: Workspace, alpha: Bridge, beta: Bridge
    ) -> None:
        change(alpha, pairings_at_once=1)
        run(beta, workspace, 3)
        lapsed = attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test", bridge=alpha)
        lapsed.ended_at, lapsed.end_reason = timezone.now(), EndReason.QR_EXPIRED
        lapsed.save()
        stop = outbox.order(lapsed, BridgeOrder.Kind.STOP, delay=15)
        assert choosing.choose(workspace) == beta

        BridgeOrder.objects.filter(pk=stop.pk).update(state=BridgeOrder.State.CONFIRMED)
        assert choosing.choose(workspace) == alpha

    def test_linked_sessions_take_no_place_of_a_pairing(
        self, workspace: Workspace, alpha: Bridge, beta: Bridge
    ) -> None:
        change(alpha, pairings_at_once=2)
        run(alpha, workspace, 3)
        run(beta, workspace, 9)
        assert chosen(workspace) == "alpha"

    def test_where_all_have_a_line_it_is_joined_where_the_load_is_least(
        self, workspace: Workspace, alpha: Bridge, beta: Bridge
    ) -> None:
        Bridge.objects.update(pairings_at_once=1)
        run(alpha, workspace, 2, Status.QR_SCANNING)
        run(beta, workspace, 1, Status.QR_SCANNING)
        assert chosen(workspace) == "beta"

    def test_one_that_refuses_orders_comes_last(self, workspace: Workspace, alpha: Bridge, beta: Bridge) -> None:
        change(alpha, failing_since=timezone.now())
        run(beta, workspace, 9, Status.QR_SCANNING, admitted_at=None)
        assert chosen(workspace) == "beta"
        change(beta, draining=True)
        assert chosen(workspace) == "alpha"

    def test_so_does_one_that_gave_no_code_until_it_gives_one(
        self, workspace: Workspace, alpha: Bridge, beta: Bridge
    ) -> None:
        failed = {"ended_at": timezone.now(), "end_reason": EndReason.BRIDGE_UNAVAILABLE}
        run(beta, workspace, 2)
        run(alpha, workspace, 1, Status.FAILED, admitted_at=None, **failed)
        assert chosen(workspace) == "alpha"  # an attempt in line was never ordered there
        run(alpha, workspace, 1, Status.FAILED, **failed)
        assert chosen(workspace) == "beta"
        change(alpha, last_heard_at=timezone.now())  # its list and its stops may work all the same
        assert chosen(workspace) == "beta"
        run(alpha, workspace, 1, first_qr_at=timezone.now())
        assert chosen(workspace) == "alpha"

    def test_after_ten_minutes_it_is_tried_again(self, workspace: Workspace, alpha: Bridge, beta: Bridge) -> None:
        run(beta, workspace)
        run(alpha, workspace, 1, Status.FAILED, ended_at=ago(590), end_reason=EndReason.BRIDGE_UNAVAILABLE)
        assert chosen(workspace) == "beta"
        LinkSession.objects.filter(bridge=alpha).update(ended_at=ago(610))
        assert chosen(workspace) == "alpha"


def test_choosing_costs_one_query_however_many_bridges_and_sessions(
    workspace: Workspace, alpha: Bridge, django_assert_num_queries: Any
) -> None:
    run(alpha, workspace, 5)
    for number in range(5):
        run(make_bridge(f"bridge {number}"), workspace, number)
    with django_assert_num_queries(1):
        assert chosen(workspace) == "bridge 0"


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_of_many_who_see_the_same_last_place_one_gets_it(alpha: Bridge, beta: Bridge, workspace: Workspace) -> None:
    """Starts of eight workspaces, which have no lock in common before the bridge's."""
    change(alpha, capacity=3, weight=100)
    run(alpha, workspace, 2)
    change(beta, capacity=4)
    tenants = [Workspace.objects.create(name=f"Toko {number}") for number in range(8)]
    accounts = [Account.objects.create(workspace=tenant) for tenant in tenants]
    results = at_once([partial(attempts.start, account.pk, trigger="test") for account in accounts])
    got = [result.bridge.name if isinstance(result, LinkSession) else result.code for result in results]
    assert sorted(got) == ["NO_BRIDGE_AVAILABLE"] * 3 + ["alpha"] + ["beta"] * 4
