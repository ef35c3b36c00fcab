"""For modules of many short tests of a link: it is made once, and each test finds it as it was made.

A module that imports these fixtures has no transactional test. Where a test asks for `linked`, `account` and `session`
are the link's; else they are others beside it, as ever.
"""

import itertools

import pytest

from accounts.models import Account, Bridge, LinkSession, Workspace
from accounts.pairing import attempts
from tests.support.links import link
from tests.support.portal import Portal, make_bridge

__all__ = ["account", "bridge", "link_of_all", "linked", "session", "workspace"]


@pytest.fixture(scope="module")
def link_of_all(shared_rows: None) -> int:
    """The key of its session."""
    workspace = Workspace.objects.create(name="Toko Alice")
    make_bridge("alpha")
    account = Account.objects.create(workspace=workspace, label="Alice")
    session = attempts.start(account.pk, trigger="test")
    portal = Portal("alpha-hmac")
    portal.tick = itertools.count(300)  # at other seconds than those of the tests, whose bodies may be the same
    link(portal, session)
    return session.pk


@pytest.fixture
def workspace(db: None, link_of_all: int) -> Workspace:
    return Workspace.objects.get()


@pytest.fixture
def bridge(db: None, link_of_all: int) -> Bridge:
    return Bridge.objects.get()


@pytest.fixture
def linked(db: None, link_of_all: int) -> LinkSession:
    return LinkSession.objects.get(pk=link_of_all)


@pytest.fixture
def account(request: pytest.FixtureRequest, workspace: Workspace) -> Account:
    if "linked" in request.fixturenames:
        return Account.objects.get()
    return Account.objects.create(workspace=workspace, label="Alice")


@pytest.fixture
def session(request: pytest.FixtureRequest, account: Account, bridge: Bridge, link_of_all: int) -> LinkSession:
    if "linked" in request.fixturenames:
        return LinkSession.objects.get(pk=link_of_all)
    return attempts.start(account.pk, trigger="test")
