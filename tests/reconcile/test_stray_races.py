"""Several who adopt, stop or list an unknown session at once: one of them has done it."""

from functools import partial

import pytest

from accounts.bridges.client import Running
from accounts.models import Account, Bridge, LinkSession, StraySession, User, Workspace
from accounts.reconcile import unknown
from tests.support.lists import bridge
from tests.support.portal import PHONE, make_bridge
from tests.support.races import at_once
from tests.support.strays import adopt, staff, stray

__all__ = ["bridge", "staff", "stray"]

pytestmark = pytest.mark.django_db(transaction=True)

Outcome = StraySession.Outcome


@pytest.mark.race
class TestAtOnce:
    def test_two_who_adopt_it_into_two_workspaces_make_one_link(
        self, stray: StraySession, workspace: Workspace, staff: User
    ) -> None:
        other = Workspace.objects.create(name="Toko Bob")
        results = at_once([partial(adopt, stray, where, staff) for where in (workspace, other)])
        assert sorted(type(result).__name__ for result in results) == ["LinkSession", "NotPossible"]
        assert Account.objects.count() == 1

    def test_a_list_that_was_compared_before_does_not_make_it_unknown_again(
        self, stray: StraySession, bridge: Bridge, workspace: Workspace, staff: User
    ) -> None:
        compared = [Running(stray.session_id, "connected", stray.phone_number)]
        adopt(stray, workspace, staff)

        unknown.record(bridge.pk, compared, listed={stray.session_id}, heartbeat=False)

        stray.refresh_from_db()
        assert stray.outcome == Outcome.ADOPTED
        assert stray.settled_at is not None

    def test_two_bridges_that_list_it_make_one_link(
        self, stray: StraySession, workspace: Workspace, staff: User
    ) -> None:
        other = Workspace.objects.create(name="Toko Bob")
        twin = StraySession.objects.create(
            bridge=make_bridge("beta"), session_id=stray.session_id, status="connected", phone_number=PHONE
        )
        results = at_once([partial(adopt, stray, workspace, staff), partial(adopt, twin, other, staff)])
        assert sorted(type(result).__name__ for result in results) == ["LinkSession", "NotPossible"]
        assert Account.objects.count() == 1

    def test_who_adopts_and_who_stops_it_do_not_both_succeed(
        self, stray: StraySession, workspace: Workspace, staff: User
    ) -> None:
        results = at_once([partial(adopt, stray, workspace, staff), partial(unknown.stop, stray.pk)])
        assert sum(isinstance(result, unknown.NotPossible) for result in results) == 1
        assert not any(
            isinstance(result, Exception) and not isinstance(result, unknown.NotPossible) for result in results
        )
        stray.refresh_from_db()
        is_adopted = stray.outcome == Outcome.ADOPTED
        assert LinkSession.objects.filter(session_id=stray.session_id).exists() == is_adopted
