"""Many who start, end, renew and sweep at once: the line keeps its order, and the bridge its limit."""

from functools import partial
from typing import Any

import pytest
from django_q.models import OrmQ

from accounts import tasks
from accounts.models import Account, Bridge, LinkSession, Transition, Workspace
from accounts.pairing import attempts, bridge_events
from accounts.pairing.attempts import May, PairingRefused
from tests.support.line import bridge, places, starts
from tests.support.portal import make_bridge
from tests.support.races import at_once

__all__ = ["bridge"]

pytestmark = pytest.mark.django_db


@pytest.mark.race
@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True)
class TestRaces:
    @pytest.fixture
    def bridge(self, bridge: Bridge) -> Bridge:
        Bridge.objects.update(pairings_at_once=5)
        bridge.refresh_from_db()
        return bridge

    @pytest.fixture
    def crowd(self, bridge: Bridge) -> list[LinkSession]:
        """Thirty, of thirty workspaces, at the same moment."""
        accounts = [
            Account.objects.create(workspace=Workspace.objects.create(name=f"Toko {number}")) for number in range(30)
        ]
        begun = at_once([partial(attempts.start, account.pk, trigger="test") for account in accounts])
        assert not [result for result in begun if isinstance(result, Exception)]
        return sorted(begun, key=lambda session: session.pk)

    def test_of_thirty_starts_five_are_admitted_and_the_others_have_a_place_each(
        self, crowd: list[LinkSession]
    ) -> None:
        assert sorted(places(crowd)) == [0] * 5 + list(range(1, 26))
        assert starts() == 5

    def test_ends_advance_the_line_in_its_order_and_never_above_the_limit(
        self, crowd: list[LinkSession], bridge: Bridge
    ) -> None:
        admitted = [session for session in crowd if session.admitted_at]
        waiting = [session for session in crowd if not session.admitted_at]

        def leave(session: LinkSession) -> None:
            attempts.force_reset(session.account_id)
            tasks.advance_line(bridge.pk)

        assert at_once([partial(leave, session) for session in admitted]) == [None] * 5
        tasks.advance_line(bridge.pk)
        assert places(waiting) == [0] * 5 + list(range(1, 21))
        assert starts() == 10

    def test_many_sweeps_at_once_admit_each_once(self, crowd: list[LinkSession], bridge: Bridge) -> None:
        for session in crowd:
            if session.admitted_at:
                attempts.force_reset(session.account_id)
        OrmQ.objects.all().delete()
        admitted = at_once([tasks.advance_lines] * 8)
        assert sum(admitted) == 5
        assert starts() == 10
        assert LinkSession.objects.filter(ended_at=None, admitted_at=None).count() == 20

    def test_many_sweeps_at_once_empty_the_line_of_a_draining_bridge_once(
        self, crowd: list[LinkSession], bridge: Bridge
    ) -> None:
        Bridge.objects.update(draining=True)
        beta = make_bridge("beta", pairings_at_once=5)
        OrmQ.objects.all().delete()
        results = at_once([tasks.advance_lines] * 6)
        assert not [result for result in results if isinstance(result, Exception)], results
        tasks.advance_lines()
        assert Transition.objects.filter(trigger="line").count() == 25
        assert beta.sessions.filter(admitted_at__isnull=False).count() == 5
        assert starts() == 10

    def test_new_codes_resets_and_advances_at_once_keep_the_limit(
        self, crowd: list[LinkSession], bridge: Bridge
    ) -> None:
        """Whoever renews locks its account and the bridge; whoever advances too; nobody may lose by it."""

        def renew(session: LinkSession) -> Any:
            try:
                return attempts.start(session.account_id, trigger="test", may=May.RENEW)
            except PairingRefused as refusal:
                return refusal.code

        def report(session: LinkSession) -> Any:
            return bridge_events.authenticated(session.pk, device_jid="")

        calls: list[Any] = [partial(renew, session) for session in crowd[:10]]
        calls += [partial(report, session) for session in crowd[:10] if session.admitted_at]
        calls += [partial(attempts.force_reset, session.account_id) for session in crowd[10:20]]
        calls += [tasks.advance_lines] * 4
        results = at_once(calls)
        assert not [result for result in results if isinstance(result, Exception)], results
        pairing_now = LinkSession.objects.filter(bridge=bridge, ended_at=None, admitted_at__isnull=False)
        assert pairing_now.count() <= 5
        assert starts() == LinkSession.objects.filter(admitted_at__isnull=False).count()
