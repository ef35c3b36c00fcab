"""Alice is a superuser; Bob is staff with what a test gives him; the desk has a row in every table."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ, Task

from accounts.access import audit
from accounts.models import (
    Account,
    AccountNotice,
    Bridge,
    BridgeProcess,
    Incident,
    Lease,
    LinkInvitation,
    LinkLoss,
    LinkMove,
    LinkSession,
    Message,
    Pulse,
    ReconcileRun,
    StraySession,
    User,
    Workspace,
)
from accounts.pairing import attempts
from api.models import RateLimitCount, WorkspaceToken
from webhooks.models import StoredReport, UnmatchedTraffic, UnsignedTraffic, WebhookEvent


def superuser() -> User:
    return User.objects.create(username="alice", is_staff=True, is_superuser=True)


@pytest.fixture
def alice(db: None) -> User:
    return superuser()


@pytest.fixture
def bob(db: None) -> User:
    """Of the staff, for all workspaces, without any permission."""
    return User.objects.create(username="bob", is_staff=True, all_workspaces=True)


@pytest.fixture
def as_alice(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


@pytest.fixture
def as_bob(bob: User) -> Callable[..., Client]:
    """A client of Bob's with these permissions ("accounts.view_account") and no others."""

    def with_permissions(*labels: str) -> Client:
        for label in labels:
            app, codename = label.split(".")
            bob.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        client = Client()
        client.force_login(bob)
        return client

    return with_permissions


def phone_of(workspace: Workspace) -> Account:
    return Account.objects.create(workspace=workspace, label="Toko Budi", phone_number="6281116801641")


@pytest.fixture
def linked(workspace: Workspace, bridge: Bridge) -> Account:
    return phone_of(workspace)


@pytest.fixture
def everything(alice: User, session: LinkSession, linked: Account) -> None:
    fill_every_table(alice, session, linked)


def fill_every_table(alice: User, session: LinkSession, linked: Account) -> None:
    """At least one row in every table that the admin shows."""
    bridge = session.bridge
    LinkInvitation.issue(linked, created_by=alice)
    WorkspaceToken.issue(linked.workspace_id, name="shop")
    Message.objects.create(session=session, message_id="true_1@c.us_A1", body="hello")
    WebhookEvent.objects.create(
        bridge=bridge, session=session, event="qr_code", payload={"a": "<b>"}, replay_key="r1", event_id="e1"
    )
    RateLimitCount.objects.create(owner="workspace 1", name="messages")
    StoredReport.objects.create(bridge=bridge, kind="chats", payload={"a": "<b>"}, digest="d1")
    UnsignedTraffic.objects.create(source="203.0.113.7")
    UnmatchedTraffic.objects.create(bridge=bridge, session_id="gone", event="qr_code", reason="unknown_session")
    audit.record("login", actor=alice)
    Incident.objects.create(bridge=bridge, kind="down", open_key="down-1")
    ReconcileRun.objects.create(bridge=bridge, expected=2, running=1, absent=1)
    BridgeProcess.objects.create(bridge=bridge, boot="b1", replaced_at=timezone.now())
    StraySession.objects.create(bridge=bridge, session_id="webjs_1_1_stray", phone_number="6281116801642")
    LinkMove.objects.create(session=session, from_bridge=bridge, to_bridge=bridge, actor=alice, state="given_up")
    AccountNotice.objects.create(account=linked, session=session, kind="time_lock", text="a <b>")
    LinkLoss.objects.create(session=session, at=timezone.now(), said="NAVIGATION")
    Lease.objects.create(name="sweep", until=timezone.now(), taken_at=timezone.now(), result="nothing to do")
    Pulse.objects.create(lane="orders", asked_at=timezone.now())
    attempts.force_reset(linked.pk, actor=alice, reason="first reset")
    now = timezone.now()
    for name, success in (("one", True), ("two", False)):
        Task.objects.create(
            id=name * 8, name=name, func="accounts.tasks.sweep_orders", started=now, stopped=now, success=success
        )
    OrmQ.objects.filter(pk__gt=OrmQ.objects.order_by("pk")[2].pk).delete()
