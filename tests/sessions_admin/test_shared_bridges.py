"""Of a bridge that others use too one who sees some workspaces sees its name, and whether it is up."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from accounts.access import roles
from accounts.models import Account, Bridge, Incident, LinkSession, ReconcileRun, StraySession, User
from tests.sessions_admin.pages import url
from tests.sessions_admin.two_workspaces import ROLES, TwoWorkspaces, desk, heard_for_long
from tests.support.portal import make_bridge

__all__ = ["desk"]

pytestmark = pytest.mark.django_db

SECRET = ["10.9.8.7", "whatsapp-web.js", "1.34.9-x", "of 9393", "browser died", "drained by hand", "webjs_9_9_stray"]


@pytest.fixture
def shared(desk: TwoWorkspaces) -> Bridge:
    """Serves all workspaces, and everything is wrong with it except that it is up."""
    bridge = make_bridge(
        "common", "http://10.9.8.7:3001", library="whatsapp-web.js", version="1.34.9-x", capacity=9393,
        last_heard_at=heard_for_long(), failing_since=timezone.now(), last_error="browser died", draining=True,
    )  # fmt: skip
    Incident.objects.create(bridge=bridge, kind="down", summary="drained by hand", open_key="down-9")
    ReconcileRun.objects.create(bridge=bridge, expected=7, running=1, absent=6, note="browser died")
    StraySession.objects.create(bridge=bridge, session_id="webjs_9_9_stray")
    LinkSession.objects.filter(pk=desk.own_session.pk).update(bridge=bridge)
    LinkSession.objects.create(session_id="common", account=desk.other_account, bridge=bridge)
    return bridge


def told(text: str) -> list[str]:
    return [secret for secret in SECRET if secret in text]


@pytest.mark.parametrize("role", ROLES)
class TestForARole:
    def test_its_page_and_the_list_say_its_name_and_that_it_is_up(
        self, desk: TwoWorkspaces, shared: Bridge, role: str
    ) -> None:
        for address in (url(Bridge, "changelist"), url(Bridge, "change", shared.pk)):
            text = desk.as_(role).get(address).content.decode()
            assert "common" in text
            assert ">up<" in text
            assert url(Bridge, "history", shared.pk) not in text
            assert told(text) == []

    def test_a_silent_one_is_said_to_be_down(self, desk: TwoWorkspaces, shared: Bridge, role: str) -> None:
        Bridge.objects.filter(pk=shared.pk).update(last_heard_at=timezone.now() - timedelta(hours=2))

        assert "down for" in desk.as_(role).get(url(Bridge, "change", shared.pk)).content.decode()
        overview = desk.as_(role).get("/admin/").content.decode()
        assert "common" in overview
        assert told(overview) == []

    def test_nobody_changes_it_reads_its_history_or_presses_its_buttons(
        self, desk: TwoWorkspaces, shared: Bridge, role: str
    ) -> None:
        client, before = desk.as_(role), Bridge.objects.values().get(pk=shared.pk)
        form = {"name": "mine", "url": "http://10.0.0.1", "workspaces": desk.own.pk, "post": "yes"}

        for page in ("change", "delete", "allow_version_1"):
            assert client.post(url(Bridge, page, shared.pk), form).status_code == 403
        assert client.get(url(Bridge, "history", shared.pk)).status_code == 403
        assert client.get(url(Bridge, "delete", shared.pk)).status_code == 403
        assert client.get(url(Bridge, "add")).status_code == 403
        assert client.post(url(Bridge, "add"), form).status_code == 403
        assert Bridge.objects.values().get(pk=shared.pk) == before

    def test_it_is_found_by_its_name_alone(self, desk: TwoWorkspaces, shared: Bridge, role: str) -> None:
        for term, found in (("common", [shared]), ("10.9.8.7", []), ("whatsapp-web", []), ("1.34.9", [])):
            assert list_of(desk.as_(role), {"q": term}) == found
        for asked in ({"library": "whatsapp-web.js"}, {"draining__exact": "1"}, {"last_error__startswith": "b"}):
            assert desk.as_(role).get(url(Bridge, "changelist"), asked).status_code == 403

    def test_the_page_of_their_account_names_it_and_no_more(
        self, desk: TwoWorkspaces, shared: Bridge, role: str
    ) -> None:
        text = desk.as_(role).get(url(Account, "change", desk.own_account.pk)).content.decode()

        assert "common" in text
        assert told(text) == []


def test_a_move_offers_the_bridges_that_serve_theirs_without_their_load(desk: TwoWorkspaces, shared: Bridge) -> None:
    Bridge.objects.filter(pk=shared.pk).update(capacity=1)
    LinkSession.objects.filter(pk=desk.own_session.pk).update(bridge=desk.own_bridge)

    text = desk.as_(roles.LEAD).get(url(Account, "move", desk.own_account.pk)).content.decode()

    assert ">common<" in "".join(text.split())
    assert "omega" not in text
    assert "full:" not in text


def test_who_sees_all_sees_all_of_it(desk: TwoWorkspaces, shared: Bridge) -> None:
    boss = User.objects.create(username="boss", is_staff=True, all_workspaces=True)
    boss.user_permissions.set(Permission.objects.filter(codename__in=("view_bridge", "change_bridge")))
    client = Client()
    client.force_login(boss)

    text = client.get(url(Bridge, "change", shared.pk)).content.decode()

    assert {"10.9.8.7", "whatsapp-web.js", "browser died", "of 9393"} <= set(told(text))
    assert client.get(url(Bridge, "history", shared.pk)).status_code == 200


def list_of(client: Client, asked: dict[str, str]) -> list[Any]:
    return list(client.get(url(Bridge, "changelist"), asked).context["cl"].queryset)
