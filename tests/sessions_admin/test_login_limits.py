"""Guessing is slow, under whatever spelling and from however many networks, and keeps no known browser out."""

from collections.abc import Iterator
from itertools import count
from typing import Any
from unicodedata import normalize

import pytest
from django.db import connection
from django.test import Client, RequestFactory

from accounts.models import AuditEntry, User
from api.http import rate_limit
from api.http.errors import ApiError
from api.models import RateLimitCount
from sessions_admin.login import known, limits
from tests.support.staff import FAST, LOGIN, PASSWORD, gets_in, log_in, staff

pytestmark = pytest.mark.django_db
addresses = (f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}" for number in count(1))


@pytest.fixture(autouse=True)
def _fast(settings: Any) -> None:
    settings.PASSWORD_HASHERS = FAST


@pytest.fixture
def root() -> User:
    return staff("root")


@pytest.fixture
def laptop(root: User) -> Client:
    """A browser in which root has logged in, and out again."""
    client = Client()
    assert gets_in(client, "root")
    client.post("/admin/logout/")
    return client


def tries(name: str, number: int, *, address: str = "") -> int:
    """How many of these tries pass the limits. No passwords are compared: hashing is not what is tested."""
    passed, refused = 0, set[int]()
    for _number in range(number):
        request = RequestFactory().post(LOGIN, REMOTE_ADDR=address or next(addresses))
        try:
            limits.spend_try(request, limits.PASSWORDS, limits.target_of(name))
            passed += 1
        except ApiError as error:
            refused.add(error.status_code)
    assert refused <= {429}
    return passed


def test_a_name_from_one_network_has_ten_tries_a_minute(root: User) -> None:
    answers = [log_in(Client(), "root", "guess").status_code for _ in range(12)]

    assert answers == [200] * 10 + [429] * 2


def test_a_name_has_a_hundred_tries_an_hour_over_all_networks(root: User) -> None:
    assert tries("root", 130) == 100


def test_a_network_has_sixty_tries_a_minute_whatever_the_names(root: User) -> None:
    assert sum(tries(f"name-{number}", 1, address="203.0.113.7") for number in range(80)) == 60


def test_an_ipv6_network_is_one_network(root: User) -> None:
    assert sum(tries("root", 1, address=f"2001:db8::{number:x}") for number in range(15)) == 10


SPELLINGS = ["root", "  root", "root  ", "ROOT", "Root", "ｒｏｏｔ", "\u2003root", "r\uff4fot"]
LOOK_ALIKES = ["röot", "rööt", "RÓOT", "ro\u200bot", "roo\u0301t"]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_has_tries_of_its_own(root: User, spelling: str) -> None:
    assert tries("root", 100) == 100
    assert tries(spelling, 5) == 0


@pytest.mark.parametrize("spelling", LOOK_ALIKES)
def test_what_the_database_takes_for_the_name_spends_its_budget(root: User, spelling: str) -> None:
    """MariaDB finds root by most of these and would log them in; SQLite by none, so they are no guesses at root."""
    is_found = User.objects.filter(username=normalize("NFKC", spelling)).exists()  # as the form asks
    assert gets_in(Client(), spelling) == is_found
    rate_limit.forget()

    tries("root", 100)

    assert tries(spelling, 5) == (0 if is_found else 5)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_nor_has_a_name_that_nobody_has(spelling: str) -> None:
    assert tries("root", 100) == 100
    assert tries(spelling, 5) == 0


@pytest.mark.parametrize("before", [0, 150, 252, 400])
@pytest.mark.parametrize("blank", [" ", "\u3000", "\t", "\u200b"])
def test_no_padding_spends_the_budget_of_another_name(root: User, blank: str, before: int) -> None:
    """The name is stripped before it is measured: else the rest of a cut name would be somebody else's."""
    shorter = staff("ro")
    typed = f"{blank * before}root"
    answer = log_in(Client(), typed, "guess")
    assert answer.status_code == 200
    rate_limit.forget()

    tries(typed, 100)

    assert tries("ro", 5) == 5
    assert limits.target_of(typed).user != shorter
    if blank.strip() == "":
        assert tries("root", 5) == 0


def test_too_long_names_are_refused_before_a_password_is_compared(root: User) -> None:
    answer = log_in(Client(), "root" + "x" * 200)

    assert answer.context["form"].errors.keys() == {"username"}
    assert not AuditEntry.objects.exists()


def test_a_known_person_gets_in_while_a_stranger_guesses_from_many_networks(laptop: Client) -> None:
    tries("root", 1_000)

    assert not gets_in(Client(), "root")
    assert gets_in(laptop, "root")


def test_also_while_the_stranger_sits_in_the_same_network(laptop: Client) -> None:
    tries("root", 1_000, address="127.0.0.1")
    for number in range(100):
        tries(f"name-{number}", 1, address="127.0.0.1")

    assert not gets_in(Client(), "root")
    assert gets_in(laptop, "root")


def test_a_known_browser_spends_nothing_of_the_others(laptop: Client) -> None:
    for _ in range(9):
        assert log_in(laptop, "root", "guess").status_code == 200

    assert tries("root", 130) == 100 - 1  # the one that made it known


def test_a_known_browser_has_a_budget_too(laptop: Client) -> None:
    answers = [log_in(laptop, "root", "guess", address=next(addresses)).status_code for _ in range(12)]

    assert answers == [200] * 10 + [429] * 2


def test_a_browser_is_known_for_those_who_logged_in_and_nobody_else(laptop: Client) -> None:
    """A colleague who has the same desk, or a cookie of their own, guesses as a stranger."""
    staff("alice")
    tries("alice", 130)

    assert not gets_in(laptop, "alice")


@pytest.mark.parametrize("forged", ["", "x", "eyJpZCI6ICJ4IiwgInBlb3BsZSI6IFsxXX0:1abc:x"])
def test_a_forged_cookie_is_no_known_browser(root: User, forged: str) -> None:
    tries("root", 130)
    client = Client()
    client.cookies[known.COOKIE] = forged

    assert not gets_in(client, "root")


def test_a_wrong_password_makes_no_browser_known(root: User) -> None:
    client = Client()
    log_in(client, "root", "guess")

    assert known.COOKIE not in client.cookies


@pytest.mark.parametrize("is_https", [False, True])
def test_the_cookie_is_of_the_admin_and_of_no_script(root: User, settings: Any, is_https: bool) -> None:
    settings.SECURE = is_https
    cookie = log_in(Client(), "root").cookies[known.COOKIE]

    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/admin/")
    assert bool(cookie["secure"]) is is_https
    assert "root" not in cookie.value


def test_several_people_share_a_browser(laptop: Client) -> None:
    staff("alice")
    assert gets_in(laptop, "alice")
    laptop.post("/admin/logout/")
    tries("root", 130)
    tries("alice", 130)

    assert gets_in(laptop, "root")
    assert gets_in(laptop, "alice")


def test_the_page_says_how_long_to_wait(root: User) -> None:
    tries("root", 130)

    answer = log_in(Client(), "root", address=next(addresses))

    assert answer.status_code == 429
    assert 3_000 < int(answer["Retry-After"]) <= 3_600
    assert "Wait 60 minutes" in answer.content.decode()
    assert "A browser in which you have logged in before" in answer.content.decode()


def test_what_was_typed_stands_nowhere(root: User) -> None:
    typed = "my-password-by-mistake"
    for _ in range(12):
        log_in(Client(), typed, "guess")

    kept = [*RateLimitCount.objects.values_list("owner", flat=True), *AuditEntry.objects.values_list("who", flat=True)]
    assert any(owner.startswith("name ") for owner in kept)
    assert typed not in str(kept)
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("typed", ["", " ", "x" * 5_000, "a\x00b", "\ud83d", "\U0001f600" * 200])
def test_any_name_gets_an_answer(typed: str) -> None:
    answers = [log_in(Client(), typed.encode("utf-8", "replace").decode(), "guess").status_code for _ in range(11)]

    assert answers == [200] * 10 + [429]


def test_refused_logins_of_people_are_in_the_audit(root: User) -> None:
    log_in(Client(), "ROOT" if connection.vendor == "mysql" else "root", "guess", address="203.0.113.9")
    assert gets_in(Client(), "root", PASSWORD)

    assert list(AuditEntry.objects.order_by("pk").values_list("action", "who", "object_id", "address")) == [
        ("login.refused", "nobody yet", str(root.pk), "203.0.113.9"),
        ("login", "root", str(root.pk), "127.0.0.1"),
    ]


class TestRedisDown:
    @pytest.fixture(autouse=True)
    def _closed_port(self, laptop: Client, settings: Any) -> Iterator[None]:
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        rate_limit._shared.cache_clear()
        yield
        rate_limit._shared.cache_clear()

    def test_a_known_browser_is_refused_as_others_are(self, laptop: Client) -> None:
        answers = [log_in(client, "root") for client in (laptop, Client())]

        assert [answer.status_code for answer in answers] == [503, 503]
        assert b"Redis is down" in answers[0].content
