"""A session ends eight hours after the person's last own action, and with whatever it was good for."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.test import AsyncClient, Client
from django.utils import timezone

from accounts.access import sessions
from accounts.models import User, Workspace
from tests.support.staff import FAST, PASSWORD, STEP, app_of, code_of, counts, demand, log_in, staff

pytestmark = pytest.mark.django_db
REFRESH = {"X-Linkdesk-Refresh": "1"}


@pytest.fixture(autouse=True)
def _fast(settings: Any) -> None:
    settings.PASSWORD_HASHERS = FAST


@pytest.fixture
def sari() -> User:
    return staff("sari", "accounts.view_account")


@pytest.fixture
def client(sari: User) -> Client:
    client = Client()
    log_in(client, "sari")
    return client


def person_of(client: Client) -> User | None:
    return sessions.person_of(client.cookies["sessionid"].value)


def test_eight_hours_without_an_action_end_it(client: Client, workspace: Workspace) -> None:
    now = timezone.now()
    with time_machine.travel(now + timedelta(hours=7, minutes=58)):
        assert person_of(client) is not None
    with time_machine.travel(now + timedelta(hours=8, minutes=2)):
        assert person_of(client) is None
        assert client.get("/api/whatsapp/status", {"workspace_id": workspace.pk}).status_code == 401
        assert not counts(client)


def test_each_action_begins_them_again(client: Client) -> None:
    now = timezone.now()
    for hours in (7, 14, 21):
        with time_machine.travel(now + timedelta(hours=hours)):
            assert counts(client)


@pytest.mark.parametrize("refreshes", ["a page that refreshes itself", "the API"])
def test_what_the_person_does_not_do_begins_nothing(client: Client, workspace: Workspace, refreshes: str) -> None:
    now = timezone.now()
    for hours in (3, 6):
        with time_machine.travel(now + timedelta(hours=hours)):
            if refreshes == "the API":
                answer = client.get("/api/whatsapp/status", {"workspace_id": workspace.pk})
            else:
                answer = client.get("/admin/", headers=REFRESH)
            assert answer.status_code == 200
    with time_machine.travel(now + timedelta(hours=8, minutes=2)):
        assert person_of(client) is None
        assert not counts(client)


def test_a_session_is_written_once_a_minute(client: Client) -> None:
    def written() -> str:
        return Session.objects.get().session_data

    now = timezone.now()
    with time_machine.travel(now + timedelta(seconds=10), tick=False):
        before = written()
        counts(client)
        assert written() == before
    with time_machine.travel(now + timedelta(seconds=70), tick=False):
        counts(client)
        assert written() != before


def test_one_from_before_actions_were_noted_goes_on(client: Client) -> None:
    session = client.session
    del session["acted_at"]
    session.save()

    assert counts(client)
    assert sessions.ACTED_AT in client.session


@pytest.mark.parametrize("change", ["password", "is_active", "is_staff", "app", "role", "logout", "deleted"])
def test_it_ends_with_what_it_was_good_for(client: Client, sari: User, change: str) -> None:
    assert person_of(client) == sari

    if change == "password":
        sari.set_password("another long password")
        sari.save()
    elif change in {"is_active", "is_staff"}:
        User.objects.update(**{change: False})
    elif change == "app":
        app_of(sari)
    elif change == "role":
        User.objects.update(is_superuser=True)
        demand()
    elif change == "logout":
        client.post("/admin/logout/")
        assert "sessionid" not in client.cookies or not client.cookies["sessionid"].value
        assert not Session.objects.exists()
        return
    else:
        sari.delete()

    assert person_of(client) is None
    assert not counts(client)


def test_with_its_second_step_done_it_counts_until_the_app_is_gone(sari: User) -> None:
    app, client = app_of(sari), Client()
    log_in(client, "sari")
    assert person_of(client) is None
    client.post(STEP, {"code": code_of(app.key)})
    assert person_of(client) == sari

    app.delete()

    assert person_of(client) is None


@pytest.mark.parametrize("key", ["", "nobody", "x" * 200])
def test_an_unknown_key_is_nobody(key: str) -> None:
    assert sessions.person_of(key) is None


@pytest.mark.parametrize(
    ("number", "is_good"), [("short-one-1", False), ("password1234", False), ("sari-the-boss", True)]
)
def test_passwords_are_long_and_not_common(client: Client, number: str, is_good: bool) -> None:
    form = {"old_password": PASSWORD, "new_password1": number, "new_password2": number}

    assert (client.post("/admin/password_change/", form).status_code == 302) is is_good


def test_a_password_is_not_like_the_name(sari: User) -> None:
    User.objects.update(username="sari.wulandari")
    client = Client()
    log_in(client, "sari.wulandari")
    form = {"old_password": PASSWORD, "new_password1": "sari-wulandari", "new_password2": "sari-wulandari"}

    assert client.post("/admin/password_change/", form).status_code == 200


@pytest.mark.django_db(transaction=True)
async def test_an_async_view_sees_the_same_person(sari: User) -> None:
    """Under ASGI too: a session without its second step is nobody's."""
    client = AsyncClient()
    await client.aforce_login(sari)
    assert (await client.get("/admin/")).status_code == 200

    await User.objects.aupdate(is_staff=False)

    assert (await client.get("/admin/")).status_code == 302
