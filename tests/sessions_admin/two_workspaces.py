"""Two workspaces with rows in every table. In the one work Rina, Sari, Lukas and Agus, one of each role; in the other
works Zoe, and none of the four sees anything of hers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from accounts.access import audit, roles
from accounts.access.scope import WAYS, workspace_of
from accounts.lifecycle import Status
from accounts.models import (
    Account,
    AccountNotice,
    Bridge,
    BridgeOrder,
    LinkInvitation,
    LinkLoss,
    LinkMove,
    LinkSession,
    Message,
    User,
    Workspace,
)
from accounts.pairing import attempts
from api.models import WorkspaceToken
from tests.sessions_admin.conftest import fill_every_table, superuser
from tests.sessions_admin.pages import every_row, first
from tests.support.portal import make_bridge
from webhooks.models import WebhookEvent

PEOPLE = {roles.VIEWER: "rina", roles.SUPPORT: "sari", roles.LEAD: "lukas", roles.ADMINISTRATOR: "agus"}
ROLES = list(PEOPLE)
OUT_OF_SIGHT = {403, 404}


@dataclass
class TwoWorkspaces:
    own: Workspace
    other: Workspace
    own_bridge: Bridge
    other_bridge: Bridge
    own_account: Account
    other_account: Account
    own_session: LinkSession
    other_session: LinkSession
    zoe: User
    clients: dict[str, Client]

    def as_(self, role: str) -> Client:
        """A client of the person with this role; one for all tests."""
        return self.clients[role]

    def row_of(self, model: type[Model], workspace: Workspace) -> Any:
        """A row of this workspace; of models without a workspace one that nobody of the four sees."""
        is_own = workspace == self.own
        chosen: dict[type[Model], Model] = {
            Bridge: self.own_bridge if is_own else self.other_bridge,
            User: User.objects.get(username="rina") if is_own else self.zoe,
        }
        if model in chosen:
            return chosen[model]
        if model._meta.label_lower not in WAYS:
            return first(model)
        return next(row for row in model._default_manager.all() if workspace_of(row) == workspace.pk)

    def marks(self) -> list[str]:
        """What stands in rows of the other workspace, and in those of none, and nowhere else. No page has it by chance
        in a token: it is too long."""
        return [
            "Toko Zeta",
            "Kasir Zeta",
            "zoe-of-zeta",
            "omega",
            "6281116801649",
            "811-1680-1649",
            self.other_session.session_id,
            str(self.other_account.uuid),
            "true_1@c.us_A1",
            "webjs_1_1_stray",
            "6281116801642",
            "203.0.113.7",
            "workspace 1",
        ]

    def marks_in(self, content: bytes) -> list[str]:
        text = content.decode()
        return [mark for mark in self.marks() if mark in text]


def make_two_workspaces() -> TwoWorkspaces:
    """For a fixture of any scope."""
    own, other = (Workspace.objects.create(name=name) for name in ("Warung Melati", "Toko Zeta"))
    bridges = [
        make_bridge("melati-1", last_heard_at=heard_for_long()),
        make_bridge("omega", "http://127.0.0.1:2", last_heard_at=heard_for_long(), last_error="omega is full"),
    ]
    for bridge, workspace in zip(bridges, (own, other), strict=True):
        bridge.workspaces.add(workspace)
    mine = Account.objects.create(workspace=own, label="Kasir Melati", phone_number="6281277770001")
    theirs = Account.objects.create(workspace=other, label="Kasir Zeta", phone_number="6281116801649")
    sessions = [attempts.start(account.pk, trigger="test") for account in (mine, theirs)]
    mine.refresh_from_db()
    zoe = User.objects.create(username="zoe-of-zeta", is_staff=True)
    other.members.add(zoe)
    clients = {role: _employ(own, role) for role in ROLES}
    audit.record("account.renewed", actor=zoe, of=theirs)
    fill_every_table(superuser(), sessions[1], theirs)
    _trouble(theirs)
    _fill(own, bridges[0], mine, sessions[0])
    return TwoWorkspaces(
        own=own,
        other=other,
        own_bridge=bridges[0],
        other_bridge=bridges[1],
        own_account=mine,
        other_account=theirs,
        own_session=sessions[0],
        other_session=sessions[1],
        zoe=zoe,
        clients=clients,
    )


@pytest.fixture(scope="module")
def desk(shared_rows: None) -> TwoWorkspaces:
    return make_two_workspaces()


def heard_for_long() -> datetime:
    """A bridge is down 90 s after it was heard of, and a module's tests may take longer."""
    return timezone.now() + timedelta(hours=1)


def _trouble(account: Account) -> None:
    """What the overview tells whoever sees the account: a dead event, a failed order, a number, a fresh failure."""
    now = timezone.now()
    WebhookEvent.objects.filter(session__account=account).update(state=WebhookEvent.State.DEAD)
    BridgeOrder.objects.filter(session__account=account).update(state=BridgeOrder.State.FAILED, closed_at=now)
    Account.objects.filter(pk=account.pk).update(status=Status.FAILED, status_changed_at=now, new_phone="6281116801648")


def _employ(workspace: Workspace, role: str) -> Client:
    person = User.objects.create(username=PEOPLE[role], is_staff=True)
    person.groups.add(Group.objects.get(name=role))
    workspace.members.add(person)
    client = Client()
    client.force_login(person)
    return client


def _fill(workspace: Workspace, bridge: Bridge, account: Account, session: LinkSession) -> None:
    """A row of this workspace in every table that has some of workspaces."""
    keys = {"account": account, "session": session}
    LinkInvitation.issue(account)
    WorkspaceToken.issue(workspace.pk, name="kasir")
    Message.objects.create(session=session, message_id="melati message", body="halo")
    WebhookEvent.objects.create(bridge=bridge, session=session, event="qr_code", payload={}, replay_key="melati")
    LinkMove.objects.create(session=session, from_bridge=bridge, to_bridge=bridge, state="given_up")
    AccountNotice.objects.create(**keys, kind="time_lock", text="melati notice")
    LinkLoss.objects.create(session=session, at=timezone.now(), said="NAVIGATION")
    audit.record("account.renewed", who="rina", of=account)


def rows_but_audit() -> dict[str, list[Any]]:
    """Refusals stand in the audit."""
    return {label: rows for label, rows in every_row().items() if label != "accounts.AuditEntry"}


@pytest.fixture
def nothing_changes(desk: TwoWorkspaces) -> Iterator[None]:
    before = rows_but_audit()
    yield
    assert rows_but_audit() == before
