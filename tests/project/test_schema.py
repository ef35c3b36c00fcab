"""What the database itself guarantees, and how a form says it."""

import hashlib
from typing import Any

import pytest
from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.forms import modelform_factory
from django.utils import timezone

from accounts.models import Account, Bridge, BridgeSecret, LinkInvitation, LinkSession, Message, Workspace
from api.models import WorkspaceToken
from tests.support.portal import PHONE, make_bridge
from webhooks.models import UnmatchedTraffic, WebhookEvent

TWINS = ("abc", "ABC", "abc ", "ábc")


def raw_values(table: str, column: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table}")
        return [str(row[0]) for row in cursor.fetchall()]


def end(session: LinkSession) -> None:
    session.ended_at = timezone.now()
    session.save()


class TestOneLiveAccountPerPhone:
    def test_the_database_refuses_a_second_one(self, workspace: Workspace) -> None:
        Account.objects.create(workspace=workspace, phone_number=PHONE)
        with pytest.raises(IntegrityError), transaction.atomic():
            Account.objects.create(workspace=workspace, phone_number=PHONE)
        assert Account.objects.count() == 1

    def test_it_also_refuses_to_bring_one_back(self, workspace: Workspace) -> None:
        gone = Account.objects.create(workspace=workspace, phone_number=PHONE, deleted_at=timezone.now())
        Account.objects.create(workspace=workspace, phone_number=PHONE)
        with pytest.raises(IntegrityError), transaction.atomic():
            Account.objects.filter(pk=gone.pk).update(deleted_at=None)

    def test_deleted_ones_do_not_count(self, workspace: Workspace) -> None:
        for _ in range(2):
            Account.objects.create(workspace=workspace, phone_number=PHONE, deleted_at=timezone.now())
        Account.objects.create(workspace=workspace, phone_number=PHONE)
        assert Account.objects.live().count() == 1

    def test_placeholders_and_other_workspaces_do_not_count(self, workspace: Workspace) -> None:
        for _ in range(3):
            Account.objects.create(workspace=workspace)
        Account.objects.create(workspace=workspace, phone_number=PHONE)
        Account.objects.create(workspace=Workspace.objects.create(name="Toko Bob"), phone_number=PHONE)
        assert Account.objects.count() == 5

    def test_a_form_says_it(self, workspace: Workspace) -> None:
        Account.objects.create(workspace=workspace, phone_number=PHONE)
        form = modelform_factory(Account, fields=["workspace", "label", "phone_number", "provider_type"])(
            {"workspace": workspace.pk, "phone_number": PHONE, "provider_type": "webjs"}
        )
        assert not form.is_valid()
        assert "already has this phone number" in str(form.errors)

    def test_full_clean_says_it(self, workspace: Workspace) -> None:
        Account.objects.create(workspace=workspace, phone_number=PHONE)
        with pytest.raises(ValidationError, match="already has this phone number"):
            Account(workspace=workspace, phone_number=PHONE).full_clean()

    def test_saving_the_same_one_again_is_no_duplicate(self, workspace: Workspace) -> None:
        Account.objects.create(workspace=workspace, phone_number=PHONE)
        Account.objects.get().full_clean()


class TestOneOpenSessionPerAccount:
    def another(self, session: LinkSession, **values: Any) -> LinkSession:
        return LinkSession(session_id="webjs_1_1_another0", account=session.account, bridge=session.bridge, **values)

    def test_the_database_refuses_a_second_one(self, session: LinkSession) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            self.another(session).save()

    def test_it_also_refuses_to_reopen_one_beside_it(self, session: LinkSession) -> None:
        ended = self.another(session, ended_at=timezone.now())
        ended.save()
        with pytest.raises(IntegrityError), transaction.atomic():
            LinkSession.objects.filter(pk=ended.pk).update(ended_at=None)

    def test_it_also_refuses_to_move_one_beside_it(self, session: LinkSession) -> None:
        other = Account.objects.create(workspace=session.account.workspace)
        LinkSession.objects.create(session_id="webjs_1_1_another0", account=other, bridge=session.bridge)
        with pytest.raises(IntegrityError), transaction.atomic():
            LinkSession.objects.update(account=other)

    def test_ended_ones_do_not_count(self, session: LinkSession) -> None:
        end(session)
        self.another(session).save()
        assert LinkSession.objects.count() == 2

    def test_validation_says_it(self, session: LinkSession) -> None:
        with pytest.raises(ValidationError, match="already has an open session"):
            self.another(session).validate_constraints()
        self.another(session, ended_at=timezone.now()).validate_constraints()


class TestIdsByteForByte:
    """Four ids, also on MariaDB, whose default collation makes them one."""

    def test_sessions(self, account: Account, bridge: Bridge) -> None:
        for session_id in TWINS:
            end(LinkSession.objects.create(session_id=session_id, account=account, bridge=bridge))
        for session_id in TWINS:
            assert LinkSession.objects.get(session_id=session_id).session_id == session_id

    def test_messages(self, session: LinkSession) -> None:
        for message_id in TWINS:
            Message.objects.create(session=session, message_id=message_id)
        assert [Message.objects.filter(message_id=message_id).count() for message_id in TWINS] == [1] * 4

    def test_event_ids(self, session: LinkSession) -> None:
        for number, event_id in enumerate(TWINS):
            WebhookEvent.objects.create(
                bridge=session.bridge, session=session, event="x", payload={}, event_id=event_id, replay_key=number
            )
        assert [WebhookEvent.objects.filter(event_id=event_id).count() for event_id in TWINS] == [1] * 4

    def test_unmatched_traffic(self, bridge: Bridge) -> None:
        for session_id in TWINS:
            UnmatchedTraffic.objects.create(bridge=bridge, session_id=session_id, event="x", reason="dropped")
        assert [UnmatchedTraffic.objects.filter(session_id=session_id).count() for session_id in TWINS] == [1] * 4


class TestSecrets:
    def test_a_bridge_secret_is_encrypted_at_rest(self, bridge: Bridge) -> None:
        stored = raw_values("accounts_bridgesecret", "value")
        assert len(stored) == 2
        assert not any("alpha" in value for value in stored)
        assert all(value.startswith("gAAAA") for value in stored)  # a Fernet token
        assert bridge.secrets(BridgeSecret.Kind.HMAC) == ["alpha-hmac"]

    def test_its_fingerprint_gives_nothing_away(self, bridge: Bridge) -> None:
        """A plain hash of a short secret could be guessed from a stolen table."""
        plain = {hashlib.sha256(secret).hexdigest() for secret in (b"alpha-hmac", b"alpha-key")}
        assert not plain & set(raw_values("accounts_bridgesecret", "fingerprint"))

    def test_a_new_key_encrypts_and_the_old_one_still_reads(self, bridge: Bridge, settings: Any) -> None:
        old, new = settings.FIELD_ENCRYPTION_KEYS[0], Fernet.generate_key().decode()
        settings.FIELD_ENCRYPTION_KEYS = [new, old]
        assert bridge.secrets(BridgeSecret.Kind.HMAC) == ["alpha-hmac"]
        for secret in BridgeSecret.objects.all():
            secret.save()
        settings.FIELD_ENCRYPTION_KEYS = [new]
        assert bridge.secrets(BridgeSecret.Kind.HMAC) == ["alpha-hmac"]
        settings.FIELD_ENCRYPTION_KEYS = [old]
        with pytest.raises(InvalidToken):
            bridge.secrets(BridgeSecret.Kind.HMAC)

    def test_no_two_bridges_share_one(self, bridge: Bridge) -> None:
        beta = make_bridge("beta")
        with pytest.raises(IntegrityError), transaction.atomic():
            BridgeSecret.objects.create(bridge=beta, kind="hmac", value="alpha-hmac")

    def test_a_form_says_that_a_secret_is_taken(self, bridge: Bridge) -> None:
        form = modelform_factory(BridgeSecret, fields=["bridge", "kind", "value"])(
            {"bridge": make_bridge("beta").pk, "kind": "hmac", "value": "alpha-hmac"}
        )
        assert not form.is_valid()
        assert "already in use" in str(form.errors)

    def test_a_retired_secret_stays_taken(self, bridge: Bridge) -> None:
        """Who kept it could otherwise speak for the bridge that gets it next."""
        bridge.credentials.get(kind="hmac").retire()
        with pytest.raises(IntegrityError), transaction.atomic():
            BridgeSecret.objects.create(bridge=make_bridge("beta"), kind="hmac", value="alpha-hmac")

    def test_an_invitation_stores_only_a_hash(self, account: Account) -> None:
        url = LinkInvitation.issue(account)
        token = url.rstrip("/").rpartition("/")[2]
        assert len(token) >= 43  # 256 bits
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM accounts_linkinvitation")
            assert token not in str(cursor.fetchall())
        invitation = LinkInvitation.objects.find(token)
        assert invitation is not None
        assert invitation.account == account
        assert LinkInvitation.objects.find(invitation.token_hash) is None

    def test_a_workspace_token_stores_only_a_hash(self, workspace: Workspace) -> None:
        token = WorkspaceToken.issue(workspace.pk)
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM api_workspacetoken")
            assert token not in str(cursor.fetchall())

    @pytest.mark.parametrize("model", [Account, Bridge, BridgeSecret, LinkInvitation])
    def test_no_name_shows_a_secret_or_a_phone_number(self, account: Account, bridge: Bridge, model: Any) -> None:
        Account.objects.update(phone_number=PHONE, label="")
        url = LinkInvitation.issue(account)
        for row in model.objects.all():
            shown = f"{row} {row!r}"
            assert not [secret for secret in (PHONE, "alpha-hmac", "alpha-key", url.split("/")[-2]) if secret in shown]


@pytest.mark.django_db
def test_the_migrations_are_complete() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


@pytest.mark.django_db
def test_every_constraint_of_the_models_is_in_the_database() -> None:
    """MariaDB skips a conditional one without a word."""
    with connection.cursor() as cursor:
        for model in apps.get_models():
            if model._meta.app_label in {"accounts", "api", "webhooks"}:
                there = connection.introspection.get_constraints(cursor, model._meta.db_table)
                named = {constraint.name for constraint in model._meta.constraints}
                assert named <= there.keys(), model
                assert all(there[name]["unique"] for name in named), model
