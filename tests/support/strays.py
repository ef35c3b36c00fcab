"""A session that a bridge runs and the desk does not know, and the staff who adopt it."""

import pytest

from accounts.models import Bridge, LinkSession, StraySession, User, Workspace
from accounts.reconcile import adoption, polling
from tests.support.lists import row, shows
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import PHONE


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_user("sari", is_staff=True)


@pytest.fixture
def stray(bridge: Bridge, node: MisbehavingBridge) -> StraySession:
    shows(node, row("newer", phone_number=PHONE, workspace_id=7))
    polling.poll(bridge.pk)
    return StraySession.objects.get()


def adopt(stray: StraySession, workspace: Workspace, staff: User) -> LinkSession:
    return adoption.adopt(stray.pk, workspace_id=workspace.pk, actor=staff)
