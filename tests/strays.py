"""A session that a bridge runs and the desk does not know, and the staff who adopt it."""

import pytest

from accounts import polling, strays
from accounts.models import Bridge, LinkSession, StraySession, User, Workspace
from tests.conftest import PHONE
from tests.lists import row, shows
from tests.misbehaving import MisbehavingBridge


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_user("sari", is_staff=True)


@pytest.fixture
def stray(bridge: Bridge, node: MisbehavingBridge) -> StraySession:
    shows(node, row("newer", phone_number=PHONE, workspace_id=7))
    polling.poll(bridge.pk)
    return StraySession.objects.get()


def adopt(stray: StraySession, workspace: Workspace, staff: User) -> LinkSession:
    return strays.adopt(stray.pk, workspace_id=workspace.pk, actor=staff)
