"""The world of the tests: one workspace, one bridge that serves it, an account, and signed requests."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from django.utils import translation
from django_q.models import Schedule

from accounts.bridges import client, presence
from accounts.db import locks
from accounts.models import Account, Bridge, LinkSession, Workspace
from accounts.pairing import attempts
from api.http import rate_limit
from tests.support import database, misbehaving
from tests.support.misbehaving import MisbehavingBridge, misbehaving_bridge
from tests.support.portal import Portal, make_bridge
from webhooks import authentication, rate_limits
from webhooks.authentication import forget_secrets

locks.STRICT = True  # a lock that is taken out of its order fails the test

# Their asserts say as much as those of a test.
pytest.register_assert_rewrite(
    "tests.support.cleaning",
    "tests.support.clockwork",
    "tests.support.races",
    "tests.support.refusals",
    "tests.support.states",
)

# Every line that is logged in the run is read, and one with a secret in it fails the run; tests that need what this
# machine does not have are left out.
pytest_plugins = [
    "tests.support.independent",
    "tests.support.log_scan",
    "tests.support.needs",
    "tests.support.quick",
    "tests.support.shared",
]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Nobody pulls this machine's plug: no commit needs to wait for its disk, which may take longer than the tests."""
    options = connections["default"].settings_dict["OPTIONS"]
    options["init_command"] = options["init_command"].replace("synchronous=FULL", "synchronous=OFF")


@pytest.fixture(scope="session")
def turn_to_migrate(django_db_modify_db_settings: None) -> Iterator[ExitStack]:
    """Held, on SQLite, by the one process that migrates, until the others can copy what it made."""
    with ExitStack() as turn:
        if connections["default"].vendor == "sqlite":
            turn.enter_context(database.one_at_a_time())
        yield turn


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_keepdb: bool, turn_to_migrate: ExitStack) -> bool:
    """On SQLite a copy of a migrated database is there before Django looks, and is kept."""
    if connections["default"].vendor != "sqlite":
        return django_db_keepdb
    is_there = database.copy_to(Path(connections["default"].settings_dict["TEST"]["NAME"]))
    if is_there:
        turn_to_migrate.close()
    return is_there


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_keepdb: bool, turn_to_migrate: ExitStack, django_db_setup: None, django_db_blocker: Any
) -> Iterator[None]:
    """The rows that `migrate` leaves are put back after each test that empties the tables: Django would work them out
    anew, which takes longer than most tests."""
    with django_db_blocker.unblock():
        if connections["default"].vendor == "sqlite" and not django_db_keepdb:
            database.keep(connections["default"])
        turn_to_migrate.close()
        made = [ContentType, Permission, Group, Group.permissions.through, Schedule]
        put_back = database.remember(connections["default"], [model._meta.db_table for model in made])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.core.management.commands.flush.emit_post_migrate_signal", put_back)
        yield


@pytest.fixture(autouse=True, scope="session")
def _static_files_are_found_when_asked_for() -> None:
    """Else each client of each test lists all of them first: 80 ms, thousands of times."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(autouse=True)
def _own_media(settings: Any, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture(autouse=True)
def _fresh_start() -> Iterator[None]:
    """What a process remembers for some seconds, forgotten: secrets, budgets, and which bridges it has heard."""
    forget_secrets()
    presence._heard.clear()
    rate_limit.forget()
    rate_limits.forget()
    yield
    forget_secrets()


@pytest.fixture(autouse=True)
def _secrets_are_looked_at_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a second, else: one query more wherever queries are counted on a slow machine. Real servers keep to that."""
    monkeypatch.setattr(authentication, "CHECKED_EVERY", authentication.SECRETS_KEPT)


@pytest.fixture
def workspace(db: None) -> Workspace:
    return Workspace.objects.create(name="Toko Alice")


@pytest.fixture
def node() -> Iterator[MisbehavingBridge]:
    """A real HTTP server on which a bridge's API behaves as the test says: the URL of whatever bridge names it."""
    with misbehaving_bridge() as server:
        yield server


@pytest.fixture
def bridge(db: None) -> Bridge:
    return make_bridge("alpha")


@pytest.fixture
def account(workspace: Workspace, bridge: Bridge) -> Account:
    return Account.objects.create(workspace=workspace, label="Alice")


@pytest.fixture
def session(account: Account) -> LinkSession:
    """A pairing that has just begun."""
    return attempts.start(account.pk, trigger="test")


@pytest.fixture
def impatient(act: misbehaving.Act, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the test's `act` never answers, that is soon found; an answer has its time, on a busy machine too."""
    monkeypatch.setattr(client, "MAX_ANSWER", 128 * 1024)
    if act in misbehaving.NEVER_ANSWER:
        monkeypatch.setattr(client, "COMMAND_WITHIN", 0.4)


@pytest.fixture
def portal(bridge: Bridge) -> Portal:
    return Portal("alpha-hmac")


@pytest.fixture(autouse=True)
def language_of_this_test() -> Iterator[None]:
    """A page that was asked for in Indonesian leaves the thread in that language."""
    yield
    translation.deactivate()
