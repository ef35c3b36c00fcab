"""Whose phone it is that was scanned: two accounts that are one, a wrong number, one that has changed."""

from typing import Any

from accounts.lifecycle import EndReason, Status
from accounts.models import Account, LinkSession, Message, Workspace
from accounts.pairing import attempts
from tests.support.links import QR, READY, link, status_of, stops_of
from tests.support.portal import PHONE, Portal


class TestPhoneIdentity:
    def pair_another(self, account: Account, **values: Any) -> tuple[Account, LinkSession]:
        other = Account.objects.create(workspace=account.workspace, **values)
        return other, attempts.start(other.pk, trigger="test")

    def test_two_accounts_that_turn_out_to_be_one_phone(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        placeholder, second = self.pair_another(account)
        portal.post("message_received", second, message={"id": "false_1@c.us_AA", "body": "early"})
        before = max(Account.objects.get(pk=account.pk).version, placeholder.version)
        link(portal, second)
        account.refresh_from_db()
        placeholder.refresh_from_db()
        session.refresh_from_db()
        assert account.current_session == second
        assert account.status == Status.CONNECTED
        assert session.end_reason == EndReason.SUPERSEDED
        assert stops_of(session).get().logout
        assert placeholder.merged_into == account
        assert placeholder.deleted_at is not None
        assert account.version > before
        assert Message.objects.get().session.account == account

    def test_of_two_accounts_that_are_one_the_earlier_link_counts(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        attempts.force_reset(account.pk)
        Account.objects.update(phone_number=None)  # by staff: it is a placeholder again
        account.refresh_from_db()
        known, _ = self.pair_another(account, phone_number=PHONE)
        link(portal, attempts.start(account.pk, trigger="test"))
        known.refresh_from_db()
        assert account.first_linked_at is not None
        assert known.first_linked_at == account.first_linked_at < known.status_changed_at
        assert known.was_linked()

    def test_of_two_scanned_sessions_the_later_started_stays(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        known, later = self.pair_another(account, phone_number=PHONE)
        portal.post("session_authenticated", later)
        link(portal, session)
        session.refresh_from_db()
        known.refresh_from_db()
        assert session.end_reason == EndReason.SUPERSEDED
        assert known.current_session == later
        assert later.is_open

    def test_a_bare_qr_code_never_beats_a_phone_that_was_scanned(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        known, later = self.pair_another(account, phone_number=PHONE)
        portal.post("qr_code_generated", later, **QR)
        link(portal, session)
        known.refresh_from_db()
        later.refresh_from_db()
        assert (known.status, known.current_session) == (Status.CONNECTED, session)
        assert later.end_reason == EndReason.SUPERSEDED

    def test_a_wrong_number_is_said_and_unlinked(self, portal: Portal, account: Account) -> None:
        expecting, session = self.pair_another(account, phone_number="6281200000001")
        link(portal, session)
        session.refresh_from_db()
        expecting.refresh_from_db()
        assert session.end_reason == EndReason.WRONG_NUMBER
        assert session.reported_phone == PHONE
        assert expecting.status == Status.FAILED
        assert expecting.phone_number == "6281200000001"
        assert stops_of(session).get().logout

    def test_a_number_change_is_flagged_and_not_ended(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        portal.post("session_ready", session, **READY | {"phone_number": "6281299999999"})
        session.refresh_from_db()
        assert session.is_open
        assert session.reported_phone == "6281299999999"
        assert status_of(account) == Status.CONNECTED
        assert account.phone_number == PHONE

    def test_the_same_phone_in_another_workspace_is_another_account(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        elsewhere = Account.objects.create(workspace=Workspace.objects.create(name="Toko Bob"))
        link(portal, attempts.start(elsewhere.pk, trigger="test"))
        elsewhere.refresh_from_db()
        assert elsewhere.phone_number == PHONE
        assert elsewhere.merged_into is None

    def test_two_devices_of_one_phone_are_a_conflict(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        portal.post("session_ready", session, **READY, device_jid=f"{PHONE}:28@s.whatsapp.net")
        portal.post("session_ready", session, **READY, device_jid=f"{PHONE}:39@s.whatsapp.net")
        session.refresh_from_db()
        assert session.device_conflict_at is not None
