"""A bridge that was taken out of service is missed by nobody."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.bridges import incidents, watch
from accounts.bridges.incidents import Kind
from accounts.models import Bridge, Incident, LinkSession, User


def gone_for_a_month(bridge: Bridge, **values: object) -> None:
    Bridge.objects.filter(pk=bridge.pk).update(last_heard_at=timezone.now() - timedelta(days=30), **values)


def is_missed(bridge: Bridge) -> bool:
    watch.watch()
    return Incident.objects.filter(bridge=bridge, kind="down", closed_at=None).exists()


@pytest.mark.parametrize("out_of_service", [{"draining": True}, {"weight": 0}])
def test_one_that_gets_nothing_new_and_runs_nothing_is_not_down(
    bridge: Bridge, out_of_service: dict[str, object]
) -> None:
    gone_for_a_month(bridge)
    assert is_missed(bridge)
    gone_for_a_month(bridge, **out_of_service)
    assert not is_missed(bridge)
    assert not is_missed(bridge)


def test_one_that_still_carries_a_link_is(bridge: Bridge, session: LinkSession) -> None:
    gone_for_a_month(bridge, draining=True)
    assert is_missed(bridge)
    LinkSession.objects.update(ended_at=timezone.now())
    assert not is_missed(bridge)


@pytest.mark.parametrize("kind", list(Kind))
def test_nothing_stays_wrong_with_one_that_is_gone_for_good(bridge: Bridge, kind: Kind) -> None:
    """It gives no list any more that would say that it is over."""
    gone_for_a_month(bridge, draining=True)
    incidents.report(bridge.pk, kind, summary="test")
    watch.watch()
    assert incidents.open_of(bridge.pk) == {}


def test_but_with_one_that_still_talks_it_does(bridge: Bridge) -> None:
    gone_for_a_month(bridge, draining=True)
    Bridge.objects.update(last_heard_at=timezone.now())
    incidents.report(bridge.pk, Kind.CONTESTED, summary="test")
    watch.watch()
    assert set(incidents.open_of(bridge.pk)) == {Kind.CONTESTED}


def test_the_overview_is_silent_about_it_too(bridge: Bridge) -> None:
    staff, client = User.objects.create(username="alice", is_staff=True, is_superuser=True), Client()
    client.force_login(staff)

    def told() -> bool:
        return any("alpha" in notice.title for notice in client.get("/admin/").context["overview"].notices)

    gone_for_a_month(bridge)
    assert told()
    gone_for_a_month(bridge, draining=True)
    assert not told()
