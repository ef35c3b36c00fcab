"""The first page: what there is, what needs attention, and what to do on an empty desk."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Schedule

from accounts.lifecycle import Status
from accounts.models import Account, Bridge, Incident, LinkSession, Pulse, StraySession, User
from accounts.pairing import attempts
from sessions_admin.labels import INCIDENTS
from sessions_admin.pages.attention import Notice
from tests.support.links import move_back
from tests.support.portal import make_bridge
from webhooks.models import WebhookEvent


def counts(response: Any) -> dict[str, int]:
    return {entry.url.rpartition("=")[2]: entry.count for entry in response.context["overview"].counts}


def notices(client: Client) -> dict[str, Notice]:
    return {notice.title: notice for notice in client.get("/admin/").context["overview"].notices}


@pytest.fixture
def working(db: None) -> None:
    """The worker answers, and no job is overdue."""
    Schedule.objects.update(next_run=timezone.now())
    Pulse.objects.update_or_create(lane="default", defaults={"answered_at": timezone.now()})


def test_an_empty_desk_says_what_to_do_first(as_alice: Client) -> None:
    response = as_alice.get("/admin/")

    assert [step.url for step in response.context["overview"].steps] == [
        "/admin/accounts/workspace/add/",
        "/admin/accounts/bridge/add/",
        "/admin/accounts/account/add/",
    ]
    assert "Start here" in response.content.decode()


def test_it_counts_live_accounts_by_status(as_alice: Client, linked: Account, session: LinkSession) -> None:
    Account.objects.create(workspace=linked.workspace, deleted_at=timezone.now())

    response = as_alice.get("/admin/")

    assert {status: count for status, count in counts(response).items() if count} == {"inactive": 1, "qr_scanning": 1}
    assert "Start here" not in response.content.decode()
    for entry in response.context["overview"].counts:
        assert as_alice.get(entry.url).status_code == 200


def test_it_shows_what_failed_lately_and_says_why(as_alice: Client, linked: Account, account: Account) -> None:
    Account.objects.filter(pk=linked.pk).update(status=Status.FAILED, status_changed_at=timezone.now())
    long_ago = timezone.now() - timedelta(hours=25)
    Account.objects.filter(pk=account.pk).update(status=Status.FAILED, status_changed_at=long_ago)

    troubles = as_alice.get("/admin/").context["overview"].troubles

    assert [(trouble.account, trouble.meaning) for trouble in troubles] == [("Toko Budi", "The last attempt failed.")]


@pytest.mark.usefixtures("working")
def test_a_desk_without_trouble_says_so(as_alice: Client, bridge: Bridge) -> None:
    assert notices(as_alice) == {}
    assert "All is well." in as_alice.get("/admin/").content.decode()


@pytest.mark.usefixtures("working")
class TestWhatNeedsAttention:
    def test_an_incident_is_one_line_however_many_sessions(self, as_alice: Client, bridge: Bridge) -> None:
        Incident.objects.create(bridge=bridge, kind="mass_loss", summary="40 of 60 at once", open_key="a")
        Incident.objects.create(bridge=bridge, kind="brake", closed_at=timezone.now())

        assert [(line.title, line.text) for line in notices(as_alice).values()] == [
            ("alpha: many connections lost at once", f"{INCIDENTS['mass_loss'].meaning} 40 of 60 at once")
        ]

    def test_a_silent_bridge_is_named_once(self, as_alice: Client, bridge: Bridge) -> None:
        Bridge.objects.update(last_heard_at=timezone.now() - timedelta(hours=1))
        assert list(notices(as_alice)) == ["alpha: does not answer"]

        incident = Incident.objects.create(bridge=bridge, kind="down", open_key="a")
        assert [line.url for line in notices(as_alice).values()] == [f"/admin/accounts/incident/{incident.pk}/change/"]

    def test_a_bridge_that_refuses_orders(self, as_alice: Client, bridge: Bridge) -> None:
        Bridge.objects.update(failing_since=timezone.now(), last_error="500 from /sessions")
        assert notices(as_alice)["alpha: refuses orders"].text == "500 from /sessions"

    def test_a_bridge_that_gave_no_code(self, as_alice: Client, bridge: Bridge, session: LinkSession) -> None:
        move_back(session, 61)
        attempts.expire(session.pk)
        assert "other bridges first" in str(notices(as_alice)["alpha: gave no QR code"].text)
        LinkSession.objects.update(first_qr_at=timezone.now())
        assert not notices(as_alice)

    def test_a_library_that_is_known_to_fail(self, as_alice: Client, bridge: Bridge) -> None:
        Bridge.objects.update(library="whatsapp-web.js", version="1.34.1")
        assert "Go back to 1.33.2." in str(notices(as_alice)["alpha: whatsapp-web.js 1.34.1 is known to fail"].text)

    def test_sessions_that_nobody_knows(self, as_alice: Client, bridge: Bridge) -> None:
        for number in range(30):
            StraySession.objects.create(bridge=bridge, session_id=f"stray{number}")
        StraySession.objects.create(bridge=bridge, session_id="old", settled_at=timezone.now())

        notice = notices(as_alice)["30 sessions that this desk does not know"]
        assert as_alice.get(notice.url).context["cl"].result_list.count() == 30

    def test_orders_that_failed(self, as_alice: Client, session: LinkSession) -> None:
        session.orders.update(state="failed", closed_at=timezone.now())

        notice = notices(as_alice)["1 order failed in the last 24 hours"]
        assert as_alice.get(notice.url).context["cl"].result_list.count() == 1

    def test_a_worker_that_is_stuck(self, as_alice: Client) -> None:
        Pulse.objects.update(answered_at=timezone.now() - timedelta(minutes=5))
        assert notices(as_alice)["The worker of the lane default is stuck"].tone == "bad"

    def test_the_page_costs_the_same_however_much_there_is(self, as_alice: Client, bridge: Bridge) -> None:
        def cost() -> int:
            with CaptureQueriesContext(connection) as queries:
                as_alice.get("/admin/")
            return len(queries)

        def add(count: int) -> None:
            for number in range(count):
                beside = make_bridge(f"bridge {count} {number}", library="whatsapp-web.js", version="1.23.0")
                Incident.objects.create(bridge=beside, kind="brake", open_key=f"{count} {number}")
                StraySession.objects.create(bridge=beside, session_id="stray")

        add(1)
        cost()  # content types are cached
        for_one = cost()
        add(15)

        assert cost() == for_one

    def test_staff_are_told_of_what_they_may_see(self, as_bob: Callable[..., Client], bridge: Bridge) -> None:
        Incident.objects.create(bridge=bridge, kind="brake", open_key="a")
        StraySession.objects.create(bridge=bridge, session_id="stray")

        assert list(notices(as_bob())) == []
        assert list(notices(as_bob("accounts.view_straysession"))) == ["1 session that this desk does not know"]


def test_it_shows_dead_events(as_alice: Client, session: LinkSession) -> None:
    WebhookEvent.objects.create(
        bridge=session.bridge, session=session, event="ready", payload={}, replay_key="x", state="dead"
    )

    notice = notices(as_alice)["1 webhook event could not be applied"]

    assert as_alice.get(notice.url).context["cl"].result_list.count() == 1


def test_staff_see_what_their_permissions_allow(as_bob: Callable[..., Client], linked: Account) -> None:
    Account.objects.filter(pk=linked.pk).update(status=Status.FAILED)
    bob = as_bob()

    html = bob.get("/admin/").content.decode()
    assert "Toko Budi" not in html
    assert "/admin/accounts/account/add/" not in html
    assert "/admin/django_q/" not in html
    assert "Toko Budi" in as_bob("accounts.view_account").get("/admin/").content.decode()


@pytest.mark.parametrize(("environment", "label"), [("production", False), ("staging", True)])
def test_the_environment_is_named_unless_it_is_production(
    as_alice: Client, settings: Any, environment: str, label: bool
) -> None:
    settings.ENVIRONMENT = environment

    assert bool(as_alice.get("/admin/").context["environment"]) is label


@pytest.mark.usefixtures("everything")
def test_the_sidebar_leads_everywhere(as_alice: Client, alice: User) -> None:
    groups = as_alice.get("/admin/").context["sidebar_navigation"]

    links = [item["link"] for group in groups for item in group["items"]]
    assert len(links) > 15
    for link in links:
        assert as_alice.get(link).status_code == 200


def test_it_says_that_the_desk_only_observes(as_alice: Client, working: None, settings: Any) -> None:
    title = "This desk only observes: it restores, reconnects and stops nothing by itself"
    assert title not in notices(as_alice)

    settings.LINKDESK_RECONCILE = "observe"

    assert "restart web and workers" in str(notices(as_alice)[title].text)


def test_it_says_that_more_are_unknown_than_are_listed(
    as_alice: Client, working: None, bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("accounts.reconcile.unknown.MOST_OPEN", 1)
    StraySession.objects.create(bridge=bridge, session_id="one", status="connected")

    assert "there may be more" in str(notices(as_alice)["1 session that this desk does not know"].text)


def test_who_opens_the_login_page_itself_comes_to_the_overview(alice: User) -> None:
    alice.set_password("correct horse")
    alice.save()
    answer = Client().post("/admin/login/", {"username": "alice", "password": "correct horse"})
    assert (answer.status_code, answer["Location"]) == (302, "/admin/")
