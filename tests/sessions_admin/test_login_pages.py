"""What the pages of a login say, where they say it, and the ways out of them."""

import re
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.template.loader import render_to_string
from django.test import Client
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.access import second_factor
from accounts.models import User
from tests.sessions_admin.test_second_factor import shown_codes, shown_key
from tests.support.staff import FAST, LOGIN, OWN, PASSWORD, SET_UP, STEP, app_of, code_of, demand, log_in, staff

pytestmark = pytest.mark.django_db
OWN_CODES, FIRST_CODES = f"{OWN}codes/", "/admin/login/recovery-codes/"
REPLACED = "The codes before these no longer work."


@pytest.fixture(autouse=True)
def _fast(settings: Any) -> None:
    settings.PASSWORD_HASHERS = FAST


@pytest.fixture
def sari() -> User:
    return staff("sari", role="Support")


@pytest.fixture
def app(sari: User) -> TOTPDevice:
    return app_of(sari)


@pytest.fixture
def client(sari: User) -> Client:
    """A browser in which Sari has just given her password."""
    client = Client()
    log_in(client, "sari")
    return client


def field(html: str, id: str) -> str:
    found = re.search(rf'<input[^>]*\bid="{id}"[^>]*>', html)
    assert found is not None
    return found[0]


class TestSomebodyElse:
    @pytest.mark.parametrize("step", [STEP, SET_UP])
    def test_leaves_the_step_and_comes_to_the_login(self, sari: User, step: str) -> None:
        app_of(sari) if step == STEP else demand("Support")
        client = Client()
        log_in(client, "sari")
        assert "Log in as somebody else" in client.get(step).content.decode()

        answer = client.post("/admin/logout/", {"next": LOGIN})

        assert (answer.status_code, answer["Location"]) == (302, LOGIN)
        assert client.get(LOGIN).status_code == 200
        assert client.get(step)["Location"] == LOGIN

    def test_from_the_set_up_of_an_open_session_too(self, client: Client, sari: User) -> None:
        demand("Support")
        assert "Log in as somebody else" in client.get(SET_UP).content.decode()

        client.post("/admin/logout/", {"next": LOGIN})

        assert client.get(LOGIN).status_code == 200


class TestRecoveryCodes:
    def test_of_the_enrolment_are_shown_once(self, sari: User) -> None:
        demand("Support")
        client = Client()
        log_in(client, "sari")
        key = shown_key(client.get(SET_UP).content.decode())
        answer = client.post(f"{SET_UP}?next=/admin/accounts/account/", {"code": code_of(key)})

        assert (answer.status_code, answer["Location"]) == (302, FIRST_CODES)
        page = client.get(FIRST_CODES)
        assert len(shown_codes(page.content.decode())) == 10
        assert "no-store" in page["Cache-Control"]
        assert REPLACED not in page.content.decode()
        assert 'href="/admin/accounts/account/"' in page.content.decode()
        assert client.get(FIRST_CODES)["Location"] == OWN

    def test_reloading_the_page_makes_no_new_ones(self, client: Client, app: TOTPDevice, sari: User) -> None:
        client.post(STEP, {"code": code_of(app.key)})
        answer = client.post(OWN, {"proof": PASSWORD})

        assert answer["Location"] == OWN_CODES
        page = client.get(OWN_CODES).content.decode()
        assert REPLACED in page
        codes = shown_codes(page)
        assert client.get(OWN_CODES)["Location"] == OWN
        assert second_factor.use_code(sari, codes[0]) is not None

    def test_of_another_phone_say_that_they_replace_others(self, client: Client) -> None:
        pages = []
        for _phone in range(2):
            key = shown_key(client.get(f"{OWN}set-up/").content.decode())
            sent = {"code": code_of(key), "proof": PASSWORD}
            pages.append(client.post(f"{OWN}set-up/", sent, follow=True).content.decode())

        assert [REPLACED in page for page in pages] == [False, True]

    def test_are_for_who_is_logged_in(self, app: TOTPDevice) -> None:
        client = Client()
        log_in(client, "sari")

        for page in (OWN_CODES, FIRST_CODES):
            assert client.get(page)["Location"].startswith(LOGIN)


class TestAnError:
    @pytest.fixture
    def client(self, app: TOTPDevice) -> Client:
        client = Client()
        log_in(client, "sari")
        return client

    def test_stands_at_its_field_and_the_code_is_gone(self, client: Client) -> None:
        html = client.post(STEP, {"code": "123456"}).content.decode()

        assert 'aria-describedby="id_code_error"' in field(html, "id_code")
        assert html.count('id="id_code_error"') == 1
        assert "123456" not in html

    def test_of_a_recovery_code_speaks_of_it_and_has_the_focus(self, client: Client) -> None:
        html = client.post(STEP, {"code": "abcd-efgh-ijkl-mnop", "recovery": "1"}).content.decode()

        assert "This recovery code is not right, or was used before." in html
        assert "Wait for the next one" not in html
        assert 'aria-describedby="id_code_error"' in field(html, "id_recovery")
        assert "autofocus" in field(html, "id_recovery")
        assert html.count("autofocus") == 1
        assert "abcd-efgh" not in html

    def test_of_the_whole_login_stands_above(self) -> None:
        html = log_in(Client(), "sari", "guess").content.decode()

        assert html.count('role="alert"') == 1
        assert "_error" not in field(html, "id_password")

    def test_of_the_own_set_up_stands_at_the_code(self) -> None:
        client = Client()
        staff("bob")
        log_in(client, "bob")
        client.get(f"{OWN}set-up/")

        html = client.post(f"{OWN}set-up/", {"code": "000000", "proof": PASSWORD}).content.decode()

        assert 'aria-describedby="id_code_error"' in field(html, "id_code")


def test_who_has_no_app_is_asked_for_the_password_alone(client: Client, sari: User) -> None:
    assert "a code of the app that you use now" not in client.get(f"{OWN}set-up/").content.decode()


def test_a_superuser_is_not_told_of_a_role(sari: User) -> None:
    demand("Support")
    client = Client()
    staff("root", is_superuser=True)
    log_in(client, "root")

    assert "Linkdesk requires a second factor of you" in client.get(SET_UP).content.decode()


def test_who_is_held_up_finds_back_to_the_login(sari: User) -> None:
    client = Client()
    answer = [log_in(client, "sari", "guess") for _try in range(11)][-1]

    assert answer.status_code == 429
    assert f'href="{LOGIN}"' in answer.content.decode()


class TestThePageOfAPerson:
    @pytest.fixture
    def root(self) -> User:
        return staff("root", is_superuser=True)

    @pytest.fixture
    def as_root(self, root: User) -> Client:
        client = Client()
        client.force_login(root)
        return client

    def test_greys_the_reset_of_ones_own_second_factor(self, root: User, as_root: Client) -> None:
        app = app_of(root)
        client = Client()
        log_in(client, "root")
        client.post(STEP, {"code": code_of(app.key)})
        page = client.get(f"/admin/accounts/user/{root.pk}/change/")

        assert "Your own you change under “Second factor”, with a code." in page.content.decode()
        reset = f"/admin/accounts/user/{root.pk}/reset_second_factor/"
        assert client.post(reset, {"reason": "x", "_form_submitted": "on"}).status_code == 403

    def test_hides_the_password_from_who_may_only_look(self, sari: User, as_root: Client) -> None:
        bob = Client()
        bob.force_login(staff("bob", "accounts.view_user"))
        page = f"/admin/accounts/user/{sari.pk}/change/"

        assert "md5" not in bob.get(page).content.decode()
        assert "md5" in as_root.get(page).content.decode()

    def test_adds_somebody_without_talk_of_other_logins(self, as_root: Client) -> None:
        page = "/admin/accounts/user/add/"
        assert "LDAP" not in as_root.get(page).content.decode()

        as_root.post(page, {"username": "dewi", "password1": PASSWORD, "password2": PASSWORD, "is_staff": "on"})

        assert User.objects.get(username="dewi").check_password(PASSWORD)

    def test_of_a_role_says_what_the_second_factor_would_mean(self, as_root: Client) -> None:
        html = as_root.get(f"/admin/auth/group/{Group.objects.get(name='Support').pk}/change/").content.decode()
        text = re.sub(r"<[^>]+>", " ", html)

        assert "Who has this role sets one up at the next login. If any role requires it, so do superusers." in text
        assert "policies of roles" not in text.lower()


@pytest.mark.parametrize("name", ["read_text", "shown_once"])
def test_what_takes_the_place_of_a_dialog_takes_its_focus(name: str) -> None:
    html = render_to_string(f"sessions_admin/{name}.html", {"title": "New token"})

    assert '<h1 autofocus tabindex="-1">New token</h1>' in html
