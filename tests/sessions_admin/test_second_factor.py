"""The second step: nobody is anybody before it, a code is good once, and who must have one sets it up first."""

import base64
import re
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone
from django_otp.plugins.otp_static.models import StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.access import second_factor
from accounts.models import Account, AuditEntry, LinkSession, RolePolicy, User, Workspace
from tests.support.staff import (
    FAST,
    LOGIN,
    OWN,
    PASSWORD,
    SET_UP,
    STEP,
    app_of,
    code_of,
    counts,
    demand,
    log_in,
    staff,
)

pytestmark = pytest.mark.django_db
ALL = ["accounts.view_account", "accounts.change_account", "accounts.renew_qr", "accounts.reset_account"]


@pytest.fixture(autouse=True)
def _one_moment() -> Iterator[None]:
    """A code is good for some steps of 30 s, and a test may take longer than that on a busy machine."""
    with time_machine.travel(timezone.now(), tick=False):
        yield


@pytest.fixture(autouse=True)
def _fast(settings: Any) -> None:
    settings.PASSWORD_HASHERS = FAST


@pytest.fixture
def sari() -> User:
    return staff("sari", *ALL)


@pytest.fixture
def app(sari: User) -> TOTPDevice:
    return app_of(sari)


@pytest.fixture
def halfway(app: TOTPDevice) -> Client:
    """A browser in which Sari's password was right."""
    client = Client()
    answer = log_in(client, "sari")
    assert (answer.status_code, answer["Location"]) == (302, STEP)
    return client


def send(client: Client, code: str, **more: str) -> Any:
    return client.post(STEP, {"code": code} | more)


def shown_key(html: str) -> str:
    """The secret, as the set-up page shows it for typing, in hexadecimal digits."""
    found = re.search(r'<code class="ld-secret">([A-Z2-7 ]+)</code>', html)
    assert found is not None
    return base64.b32decode(found[1].replace(" ", "")).hex()


def shown_codes(html: str) -> list[str]:
    return re.findall(r"<li>([a-z2-7]{4}(?:-[a-z2-7]{4}){3})</li>", html)


class TestBeforeTheSecondStep:
    def test_the_admin_shows_nothing(self, halfway: Client) -> None:
        for path in ("", "accounts/account/", "second-factor/", "password_change/", "accounts/user/"):
            answer = halfway.get(f"/admin/{path}")
            assert answer.status_code == 302
            assert answer["Location"].startswith(LOGIN)

    def test_the_admin_changes_nothing(self, halfway: Client, session: LinkSession) -> None:
        page = f"/admin/accounts/account/{session.account_id}/"
        for path, data in (("change/", {"label": "x"}), ("force_reset/", {"reason": "x", "_form_submitted": "on"})):
            assert halfway.post(page + path, data).status_code == 403

        session.refresh_from_db()
        assert session.is_open
        assert session.account.label == "Alice"

    def test_the_api_knows_nobody(self, halfway: Client, session: LinkSession, workspace: Workspace) -> None:
        asked: dict[str, Any] = {"workspace_id": workspace.pk, "account": str(session.account.uuid)}
        answers = [
            halfway.get("/api/whatsapp/status", asked),
            halfway.get("/api/whatsapp/pair", asked),
            halfway.post("/api/whatsapp/pair", asked, "application/json"),
            halfway.post("/api/whatsapp/reset", asked, "application/json"),
        ]

        assert [answer.status_code for answer in answers] == [401] * 4
        session.refresh_from_db()
        assert session.is_open

    def test_nobody_has_logged_in(self, halfway: Client, sari: User) -> None:
        sari.refresh_from_db()
        assert sari.last_login is None
        assert "_auth_user_id" not in halfway.session
        assert not AuditEntry.objects.exists()

    def test_the_step_ends_after_ten_minutes(self, halfway: Client, app: TOTPDevice) -> None:
        session = halfway.session
        session["second_step"] |= {"at": session["second_step"]["at"] - 601}
        session.save()

        assert send(halfway, code_of(app.key))["Location"] == LOGIN
        assert not counts(halfway)

    @pytest.mark.parametrize("change", ["password", "is_active", "is_staff"])
    def test_the_step_is_void_when_the_person_has_changed(
        self, halfway: Client, app: TOTPDevice, sari: User, change: str
    ) -> None:
        if change == "password":
            sari.set_password("another long password")
        else:
            setattr(sari, change, False)
        sari.save()

        assert send(halfway, code_of(app.key))["Location"] == LOGIN
        assert not counts(halfway)

    def test_who_comes_without_a_password_begins_with_it(self, app: TOTPDevice) -> None:
        client = Client()

        for path in (STEP, SET_UP):
            assert client.get(path)["Location"] == LOGIN
            assert client.post(path, {"code": code_of(app.key)})["Location"] == LOGIN

    def test_a_second_app_is_not_set_up_there(self, halfway: Client, sari: User) -> None:
        assert halfway.get(SET_UP)["Location"] == STEP
        assert halfway.post(SET_UP, {"code": "000000"})["Location"] == STEP
        assert TOTPDevice.objects.filter(user=sari).count() == 1

    def test_whoever_was_logged_in_in_that_browser_is_out(self, app: TOTPDevice) -> None:
        client = Client()
        client.force_login(staff("bob"))

        log_in(client, "sari")

        assert not counts(client)


class TestTheCode:
    def test_lets_the_person_in_and_on_to_where_they_were_going(self, app: TOTPDevice) -> None:
        client = Client()
        client.post(f"{LOGIN}?next=/admin/accounts/account/", {"username": "sari", "password": PASSWORD})

        answer = client.post(f"{STEP}?next=/admin/accounts/account/", {"code": code_of(app.key)})

        assert answer["Location"] == "/admin/accounts/account/"
        assert client.get(answer["Location"]).status_code == 200
        assert AuditEntry.objects.get().after == {"second factor": "app"}

    def test_leads_nowhere_else(self, app: TOTPDevice) -> None:
        client = Client()
        answer = client.post(f"{LOGIN}?next=https://evil.example/", {"username": "sari", "password": PASSWORD})
        assert "evil" not in answer["Location"]

        answer = client.post(f"{STEP}?next=https://evil.example/", {"code": code_of(app.key)})
        assert answer["Location"] == "/admin/"

    @pytest.mark.parametrize("form", ["{0} {1}", "{0}-{1}", " {0}{1} "])
    def test_is_taken_as_people_type_it(self, halfway: Client, app: TOTPDevice, form: str) -> None:
        code = code_of(app.key)

        assert send(halfway, form.format(code[:3], code[3:])).status_code == 302
        assert counts(halfway)

    @pytest.mark.parametrize("code", ["", "000000", "12345", "1234567", "abcdef", "+12345", "1_2345", "\x00", "x" * 99])
    def test_a_wrong_one_is_refused_in_words_and_audited(self, halfway: Client, code: str, sari: User) -> None:
        answer = send(halfway, code)

        assert answer.status_code == 200
        assert 'role="alert"' in answer.content.decode()
        assert not counts(halfway)
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.who, entry.object_id) == ("login.wrong_code", "nobody yet", str(sari.pk))

    def test_is_good_once(self, halfway: Client, app: TOTPDevice) -> None:
        code = code_of(app.key)
        send(halfway, code)
        other = Client()
        log_in(other, "sari")

        assert send(other, code).status_code == 200
        assert not counts(other)
        assert send(other, code_of(app.key, later=1)).status_code == 302

    def test_of_somebody_else_is_none(self, halfway: Client) -> None:
        bobs = app_of(staff("bob"))

        assert send(halfway, code_of(bobs.key)).status_code == 200
        assert not counts(halfway)

    def test_wrong_ones_are_limited_as_passwords_are(self, halfway: Client) -> None:
        answers = [send(halfway, "000000").status_code for _ in range(12)]

        assert answers == [200] * 10 + [429] * 2

    def test_a_stranger_with_the_password_keeps_a_known_browser_not_out(
        self, halfway: Client, app: TOTPDevice, settings: Any
    ) -> None:
        send(halfway, code_of(app.key))
        halfway.post("/admin/logout/")
        stranger = Client()
        log_in(stranger, "sari")
        for _ in range(15):
            send(stranger, "000000")

        log_in(halfway, "sari")
        assert send(halfway, code_of(app.key, later=1)).status_code == 302

    def test_changes_the_session_key(self, halfway: Client, app: TOTPDevice) -> None:
        before = halfway.session.session_key
        send(halfway, code_of(app.key))

        assert halfway.session.session_key != before


class TestWhoMustHaveOne:
    @pytest.fixture(autouse=True)
    def _demanded(self, sari: User) -> None:
        sari.groups.add(Group.objects.get(name="Support"))
        demand("Support")

    def test_sets_it_up_before_anything_else(self, sari: User) -> None:
        client = Client()
        assert log_in(client, "sari")["Location"] == STEP
        assert client.get(STEP)["Location"] == SET_UP
        html = client.get(SET_UP).content.decode()
        assert "<svg" in html
        assert not counts(client)

        answer = client.post(SET_UP, {"code": code_of(shown_key(html))}, follow=True)

        assert "no-store" in answer["Cache-Control"]
        assert len(set(shown_codes(answer.content.decode()))) == 10
        assert counts(client)
        assert list(AuditEntry.objects.order_by("pk").values_list("action", flat=True)) == [
            "second_factor.set_up",
            "login",
        ]
        assert shown_codes(client.get(OWN).content.decode()) == []

    def test_a_wrong_code_leaves_nothing(self, sari: User) -> None:
        client = Client()
        log_in(client, "sari")
        key = shown_key(client.get(SET_UP).content.decode())

        assert client.post(SET_UP, {"code": "000000"}).status_code == 200
        assert not TOTPDevice.objects.exists()
        assert shown_key(client.get(SET_UP).content.decode()) == key  # what was scanned still holds

    def test_two_browsers_are_shown_two_secrets(self, sari: User) -> None:
        """Whoever has found out the password must not learn the secret that the person will scan."""
        keys = []
        for _ in range(2):
            client = Client()
            log_in(client, "sari")
            keys.append(shown_key(client.get(SET_UP).content.decode()))

        assert keys[0] != keys[1]

    def test_of_two_browsers_one_sets_it_up(self, sari: User) -> None:
        first, second = Client(), Client()
        keys = []
        for client in (first, second):
            log_in(client, "sari")
            keys.append(shown_key(client.get(SET_UP).content.decode()))
        first.post(SET_UP, {"code": code_of(keys[0])})

        assert second.post(SET_UP, {"code": code_of(keys[1])})["Location"] == STEP
        assert TOTPDevice.objects.get().key == keys[0]

    def test_who_is_logged_in_when_it_begins_goes_on_after_the_set_up(self, sari: User, account: Account) -> None:
        RolePolicy.objects.all().delete()
        client = Client(enforce_csrf_checks=True)
        client.force_login(sari)
        page = f"/admin/accounts/account/{account.pk}/change/"
        form = client.get(page)
        token = client.cookies["csrftoken"].value
        typed = {k: v for k, v in form.context["adminform"].form.initial.items() if v is not None}
        typed |= {"label": "Typed before", "csrfmiddlewaretoken": token}
        demand("Support")

        answer = client.post(page, typed)
        assert answer.status_code == 403
        assert "Nothing was saved yet" in answer.content.decode()
        assert client.get("/admin/accounts/account/").status_code == 302
        assert client.get(f"{LOGIN}?next={page}")["Location"].startswith(STEP)
        key = shown_key(client.get(SET_UP).content.decode())
        sent = {"code": code_of(key), "csrfmiddlewaretoken": token}
        assert client.post(SET_UP, sent | {"password": "guess"}).status_code == 200
        assert not TOTPDevice.objects.exists()
        client.post(SET_UP, sent | {"password": PASSWORD})

        assert client.post(page, typed).status_code == 302  # the same form, sent again from its tab
        account.refresh_from_db()
        assert account.label == "Typed before"

    def test_a_dialog_leads_to_the_set_up(self, sari: User, account: Account) -> None:
        client = Client()
        client.force_login(sari)

        page = f"/admin/accounts/account/{account.pk}/force_reset/"
        answer = client.post(page, {"reason": "x"}, headers={"HX-Request": "true"})

        assert answer["HX-Redirect"] == STEP

    def test_the_api_knows_nobody_until_then(self, sari: User, workspace: Workspace) -> None:
        client = Client()
        client.force_login(sari)

        assert client.get("/api/whatsapp/status", {"workspace_id": workspace.pk}).status_code == 401

    def test_superusers_must_too_if_any_role_must(self) -> None:
        root = staff("root", is_superuser=True)

        assert second_factor.is_required(root)
        assert not second_factor.is_required(staff("bob"))

    def test_it_cannot_be_removed(self, sari: User) -> None:
        app = app_of(sari)
        client = Client()
        log_in(client, "sari")
        send(client, code_of(app.key))

        answer = client.post(OWN, {"proof": PASSWORD, "remove": "1"})

        assert "can be replaced, not removed" in answer.content.decode()
        assert TOTPDevice.objects.filter(pk=app.pk).exists()


class TestRecoveryCodes:
    @pytest.fixture
    def codes(self, sari: User, app: TOTPDevice) -> list[str]:
        return second_factor.renew_recovery_codes(sari)

    def test_log_in_once_each(self, halfway: Client, codes: list[str]) -> None:
        assert send(halfway, codes[0], recovery="1").status_code == 302
        assert counts(halfway)
        assert AuditEntry.objects.latest("pk").after == {"second factor": "recovery code"}
        other = Client()
        log_in(other, "sari")

        assert send(other, codes[0], recovery="1").status_code == 200
        assert send(other, codes[1].upper().replace("-", " "), recovery="1").status_code == 302

    def test_a_code_of_the_app_among_them_is_noted_as_what_it_is(self, halfway: Client, app: TOTPDevice) -> None:
        assert send(halfway, code_of(app.key), recovery="1").status_code == 302
        assert AuditEntry.objects.latest("pk").after == {"second factor": "app"}

    def test_are_stored_as_digests(self, codes: list[str]) -> None:
        stored = set(StaticToken.objects.values_list("token", flat=True))

        assert len(stored) == 10
        assert not stored & {code.replace("-", "") for code in codes}

    def test_new_ones_end_the_old_ones(self, halfway: Client, app: TOTPDevice, codes: list[str]) -> None:
        send(halfway, code_of(app.key))
        html = halfway.post(OWN, {"proof": PASSWORD}, follow=True).content.decode()

        assert len(shown_codes(html)) == 10
        other = Client()
        log_in(other, "sari")
        assert send(other, codes[0], recovery="1").status_code == 200
        assert send(other, shown_codes(html)[0], recovery="1").status_code == 302


class TestOnesOwnPage:
    @pytest.fixture
    def client(self, sari: User) -> Client:
        client = Client()
        log_in(client, "sari")
        return client

    def set_up(self, client: Client, proof: str = PASSWORD) -> Any:
        key = shown_key(client.get(f"{OWN}set-up/").content.decode())
        return client.post(f"{OWN}set-up/", {"code": code_of(key), "proof": proof}, follow=True)

    def test_anybody_may_set_one_up(self, client: Client, sari: User) -> None:
        assert "Not in use" in client.get(OWN).content.decode()

        assert len(shown_codes(self.set_up(client).content.decode())) == 10

        assert counts(client)
        assert "10 recovery codes are left" in client.get(OWN).content.decode()
        assert log_in(Client(), "sari")["Location"] == STEP

    def test_it_stands_in_the_menu_of_ones_name(self, client: Client) -> None:
        html = client.get("/admin/").content.decode()

        assert f'href="{OWN}"' in html
        assert 'href="/admin/password_change/"' in html

    def test_it_takes_the_password(self, client: Client) -> None:
        assert "This is not your password." in self.set_up(client, "guess").content.decode()
        assert AuditEntry.objects.latest("pk").action == "second_factor.not_proven"
        assert not TOTPDevice.objects.exists()

    def test_another_phone_ends_the_logins_elsewhere(self, client: Client, sari: User) -> None:
        self.set_up(client)
        old = TOTPDevice.objects.get()
        elsewhere = Client()
        log_in(elsewhere, "sari")
        send(elsewhere, code_of(old.key, later=1))
        assert counts(elsewhere)

        self.set_up(client)

        assert counts(client)
        assert not counts(elsewhere)
        assert elsewhere.get(LOGIN).status_code == 200  # the password first, not the second step alone
        assert TOTPDevice.objects.get().key != old.key

    def test_logins_from_before_it_was_set_up_need_the_code(self, client: Client, sari: User) -> None:
        elsewhere = Client()
        log_in(elsewhere, "sari")

        self.set_up(client)

        assert not counts(elsewhere)
        assert elsewhere.get(LOGIN)["Location"] == STEP
        send(elsewhere, code_of(TOTPDevice.objects.get().key, later=1))
        assert counts(elsewhere)

    def test_it_is_removed_with_the_password_or_a_code(self, client: Client) -> None:
        self.set_up(client)
        assert client.post(OWN, {"proof": "guess", "remove": "1"}).status_code == 200
        assert TOTPDevice.objects.exists()

        client.post(OWN, {"proof": code_of(TOTPDevice.objects.get().key, later=1), "remove": "1"})

        assert not TOTPDevice.objects.exists()
        assert counts(client)
        assert AuditEntry.objects.latest("pk").action == "second_factor.removed"

    def test_guessing_there_is_limited(self, client: Client) -> None:
        answers = [client.post(OWN, {"proof": "guess"}).status_code for _ in range(12)]

        assert answers == [200] * 10 + [429] * 2

    def test_guessing_the_old_password_is_limited(self, client: Client) -> None:
        form = {"old_password": "guess", "new_password1": "a", "new_password2": "a"}
        answers = [client.post("/admin/password_change/", form).status_code for _ in range(12)]

        assert answers == [200] * 10 + [429] * 2

    def test_a_changed_password_is_audited(self, client: Client, sari: User) -> None:
        new = "another long password"
        form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
        assert client.post("/admin/password_change/", form).status_code == 302

        assert AuditEntry.objects.latest("pk").action == "password.changed"
        assert counts(client)

    def test_the_secret_stands_on_no_page_afterwards(self, client: Client, sari: User) -> None:
        self.set_up(client)
        sari.is_superuser = True
        sari.save()
        app = TOTPDevice.objects.get()
        secret = second_factor.key_to_type(sari, app.key)

        for path in ("", "second-factor/", f"accounts/user/{sari.pk}/change/"):
            html = client.get(f"/admin/{path}").content.decode()
            assert secret not in html
            assert app.key not in html
        for path in ("otp_totp/totpdevice/", "otp_static/staticdevice/"):
            assert client.get(f"/admin/{path}").status_code == 404


class TestALostPhone:
    @pytest.fixture
    def boss(self) -> User:
        return staff("boss", *ALL, "accounts.view_user", "accounts.change_user")

    @pytest.fixture
    def client(self, boss: User) -> Client:
        client = Client()
        log_in(client, "boss")
        return client

    def reset(self, client: Client, user: User) -> Any:
        page = f"/admin/accounts/user/{user.pk}/reset_second_factor/"
        return client.post(page, {"reason": "lost phone", "_form_submitted": "on"})

    def test_is_reset_by_who_may_change_the_person(
        self, client: Client, sari: User, halfway: Client, app: TOTPDevice
    ) -> None:
        send(halfway, code_of(app.key))
        assert counts(halfway)

        self.reset(client, sari)

        assert not TOTPDevice.objects.exists()
        assert not counts(halfway)  # it may be on the lost phone
        assert halfway.get(LOGIN).status_code == 200
        entry = AuditEntry.objects.latest("pk")
        assert (entry.action, entry.who, entry.object_id, entry.reason) == (
            "user.reset_second_factor",
            "boss",
            str(sari.pk),
            "lost phone",
        )

    def test_not_by_who_may_less(self, client: Client) -> None:
        root = staff("root", is_superuser=True)
        app = app_of(root)

        assert self.reset(client, root).status_code == 403
        assert TOTPDevice.objects.filter(pk=app.pk).exists()

    def test_not_by_who_may_only_look(self, sari: User, app: TOTPDevice) -> None:
        client = Client()
        client.force_login(staff("bob", "accounts.view_user"))

        assert self.reset(client, sari).status_code == 403

    def test_not_ones_own_from_an_open_session(self, client: Client, boss: User) -> None:
        self_set = TestOnesOwnPage()
        self_set.set_up(client)

        self.reset(client, boss)

        assert TOTPDevice.objects.filter(user=boss).exists()

    def test_by_a_command(self, sari: User, app: TOTPDevice, capsys: Any) -> None:
        call_command("reset_second_factor", "sari", "--reason=no administrator left")

        assert not TOTPDevice.objects.exists()
        entry = AuditEntry.objects.get()
        assert (entry.action, entry.reason) == ("user.reset_second_factor", "no administrator left")
        assert entry.who.startswith("command: reset_second_factor")
        assert "sari logs in with the password" in capsys.readouterr().out

    def test_the_command_says_when_there_is_nothing_to_do(self, sari: User) -> None:
        for name, why in (("sari", "has no second factor"), ("nobody", "There is no user nobody")):
            with pytest.raises(CommandError, match=why):
                call_command("reset_second_factor", name)


@pytest.mark.parametrize("language", ["en", "id"])
def test_every_page_answers_in_both_languages(halfway: Client, app: TOTPDevice, language: str) -> None:
    headers = {"Accept-Language": language}
    pages = [Client().get(LOGIN, headers=headers), halfway.get(STEP, headers=headers)]
    send(halfway, code_of(app.key))
    pages += [halfway.get(path, headers=headers) for path in (OWN, f"{OWN}set-up/")]

    for page in pages:
        assert page.status_code == 200
        assert f'lang="{language}"' in page.content.decode()
    assert 'autocomplete="one-time-code"' in pages[1].content.decode()
    assert 'inputmode="numeric"' in pages[1].content.decode()
