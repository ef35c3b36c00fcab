"""What a reported number decides at the scan: the expected phone in another form, nobody's number, a device's own."""

from typing import Any

import pytest
from django.db import IntegrityError

from accounts.lifecycle import EndReason, Status
from accounts.models import Account, BridgeOrder, LinkSession, Transition, User, Workspace
from accounts.pairing import attempts, number_decisions, waiting_line
from accounts.pairing.number_decisions import DecisionRefused
from tests.support.links import QR, READY, link, status_of, stops_of
from tests.support.portal import PHONE, Portal

pytestmark = pytest.mark.django_db

TWO_FORMS = [
    ("5585987650001", "558587650001"),
    ("558587650001", "5585987650001"),
    ("525587650004", "5215587650004"),
    ("5215587650004", "525587650004"),
    ("541123456789", "5491123456789"),
    ("2250707123456", "22507123456"),
    ("2290195123456", "22995123456"),
]
NOBODYS = ["123456789012345", "21000000000000", "99912345678901"]


def expecting(workspace: Workspace, number: str | None) -> tuple[Account, LinkSession]:
    account = Account.objects.create(workspace=workspace, phone_number=number)
    return account, attempts.start(account.pk, trigger="test")


def ready(portal: Portal, session: LinkSession, number: object, **more: Any) -> Any:
    return portal.post("session_ready", session, **READY | {"phone_number": number} | more)


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_user("sari")


class TestTheExpectedPhone:
    @pytest.mark.parametrize(("typed", "reported"), TWO_FORMS)
    def test_links_in_any_form_and_is_kept_as_reported(
        self, portal: Portal, workspace: Workspace, typed: str, reported: str
    ) -> None:
        account, session = expecting(workspace, typed)
        link(portal, session, phone_number=reported)
        assert status_of(account) == Status.CONNECTED
        assert account.phone_number == reported
        assert Account.objects.with_phone(typed).get() == Account.objects.with_phone(reported).get() == account

    @pytest.mark.parametrize("said", ["+{}", "{}@c.us", "{}:22@s.whatsapp.net", "{}.0:4@s.whatsapp.net"])
    def test_is_read_however_the_bridge_writes_it(self, portal: Portal, session: LinkSession, said: str) -> None:
        assert ready(portal, session, said.format(PHONE)).status_code == 200
        assert status_of(session.account) == Status.CONNECTED
        assert session.account.phone_number == PHONE

    def test_as_a_json_number(self, portal: Portal, session: LinkSession) -> None:
        ready(portal, session, int(PHONE))
        assert status_of(session.account) == Status.CONNECTED

    def test_is_that_phone_whatever_a_library_thinks_of_it(
        self, portal: Portal, workspace: Workspace, staff: User
    ) -> None:
        account, session = expecting(workspace, None)
        link(portal, session, phone_number=NOBODYS[0])
        number_decisions.accept_number(account.pk, actor=staff)
        attempts.force_reset(account.pk)
        link(portal, again := attempts.start(account.pk, trigger="test"), phone_number=NOBODYS[0])
        again.refresh_from_db()
        assert (status_of(account), again.is_open) == (Status.CONNECTED, True)

    def test_when_its_ready_was_lost_and_told_late(self, portal: Portal, workspace: Workspace) -> None:
        account, session = expecting(workspace, "5585987650001")
        portal.post("session_error", session, error="webhook_send_failed", phone_number="558587650001@c.us")
        assert status_of(account) == Status.CONNECTED


class TestANumberOfNobodys:
    @pytest.mark.parametrize("number", NOBODYS)
    @pytest.mark.parametrize("expected", [None, "6281200000001"])
    def test_throws_nobody_out_and_the_bridge_is_asked(
        self, portal: Portal, workspace: Workspace, number: str, expected: str | None
    ) -> None:
        account, session = expecting(workspace, expected)
        link(portal, session, phone_number=number)
        session.refresh_from_db()
        assert status_of(account) == Status.AUTHENTICATED
        assert (session.is_open, session.reported_phone, account.phone_number) == (True, number, expected)
        assert session.number_unclear_at is not None
        assert not stops_of(session).exists()
        assert session.orders.filter(kind=BridgeOrder.Kind.CHECK, why=BridgeOrder.Why.NUMBER).count() == 1

    def test_leaves_one_row_however_often_it_is_told(self, portal: Portal, session: LinkSession) -> None:
        link(portal, session, phone_number=NOBODYS[0])
        before = Transition.objects.count()
        for _ in range(3):
            ready(portal, session, NOBODYS[0])
        assert Transition.objects.count() == before

    def test_waits_without_a_deadline_and_without_a_place(
        self, portal: Portal, session: LinkSession, workspace: Workspace
    ) -> None:
        link(portal, session, phone_number=NOBODYS[0])
        bridge = session.bridge
        bridge.pairings_at_once = 1
        bridge.save()
        LinkSession.objects.filter(pk=session.pk).update(authenticated_at="2026-01-01T00:00Z")
        attempts.expire(session.pk)
        assert status_of(session.account) == Status.AUTHENTICATED
        assert waiting_line.has_room(bridge)

    def test_ends_by_a_number_that_is_somebodys(self, portal: Portal, session: LinkSession) -> None:
        link(portal, session, phone_number=NOBODYS[0])
        ready(portal, session, PHONE)
        session.refresh_from_db()
        assert (status_of(session.account), session.account.phone_number) == (Status.CONNECTED, PHONE)
        assert session.number_unclear_at is None

    def test_is_accepted_by_staff(self, portal: Portal, session: LinkSession, staff: User) -> None:
        link(portal, session, phone_number=NOBODYS[0])
        number_decisions.accept_number(session.account_id, actor=staff)
        assert (status_of(session.account), session.account.phone_number) == (Status.CONNECTED, NOBODYS[0])
        with pytest.raises(DecisionRefused):
            number_decisions.accept_number(session.account_id, actor=staff)

    def test_is_replaced_only_by_who_may(self, portal: Portal, session: LinkSession) -> None:
        link(portal, session, phone_number=NOBODYS[0])
        with pytest.raises(attempts.PairingRefused) as refused:
            attempts.start(session.account_id, trigger="page")
        assert (refused.value.code, refused.value.retry_after) == ("PAIRING_IN_PROGRESS", 60)
        attempts.start(session.account_id, trigger="api", may=attempts.May.RENEW)
        session.refresh_from_db()
        assert session.end_reason == EndReason.RENEWED
        assert not stops_of(session).get().logout

    def test_that_was_accepted_is_the_accounts_at_the_next_link(
        self, portal: Portal, session: LinkSession, staff: User
    ) -> None:
        link(portal, session, phone_number=NOBODYS[0])
        number_decisions.accept_number(session.account_id, actor=staff)
        placeholder, again = expecting(session.account.workspace, None)
        link(portal, again, phone_number=NOBODYS[0])
        placeholder.refresh_from_db()
        assert placeholder.merged_into == session.account

    def test_is_accepted_also_while_the_link_is_down(self, portal: Portal, session: LinkSession, staff: User) -> None:
        link(portal, session, phone_number=NOBODYS[0])
        portal.post("session_disconnected", session, reason="NAVIGATION")
        number_decisions.accept_number(session.account_id, actor=staff)
        attempts.expire(session.pk)
        session.refresh_from_db()
        assert (status_of(session.account), session.ever_linked, session.is_open) == (Status.DISCONNECTED, True, True)
        ready(portal, session, NOBODYS[0])
        assert (status_of(session.account), session.account.phone_number) == (Status.CONNECTED, NOBODYS[0])

    def test_is_not_ended_by_a_ready_that_cannot_be_read(self, portal: Portal, session: LinkSession) -> None:
        link(portal, session, phone_number=NOBODYS[0])
        ready(portal, session, None)
        portal.post("session_error", session, error="phone_extraction_failed")
        session.refresh_from_db()
        assert session.waits_for_its_number

    def test_of_a_link_is_asked_about_once(self, portal: Portal, session: LinkSession) -> None:
        link(portal, session)
        for _ in range(3):
            ready(portal, session, NOBODYS[0])
        session.refresh_from_db()
        assert session.reported_phone == NOBODYS[0]
        assert session.orders.filter(why=BridgeOrder.Why.NUMBER).count() == 1

    def test_changes_nothing_about_a_link(self, portal: Portal, session: LinkSession) -> None:
        link(portal, session)
        portal.post("session_disconnected", session, reason="NAVIGATION")
        ready(portal, session, NOBODYS[0])
        assert (status_of(session.account), session.account.phone_number) == (Status.CONNECTED, PHONE)
        assert session.account.new_phone == ""

    @pytest.mark.parametrize("said", ["unknown", None, "", "12@lid", {"user": 1}, "status@broadcast"])
    def test_one_that_cannot_be_read_never_connects(self, portal: Portal, session: LinkSession, said: object) -> None:
        portal.post("qr_code_generated", session, **QR)
        assert ready(portal, session, said).status_code == 200
        session.refresh_from_db()
        assert session.end_reason == EndReason.PHONE_UNKNOWN
        assert not stops_of(session).get().logout


class TestTheDevice:
    def test_of_another_phone_counts(self, portal: Portal, workspace: Workspace) -> None:
        account, session = expecting(workspace, "6281200000001")
        link(portal, session, phone_number="6281200000001", device_jid=f"{PHONE}:7@s.whatsapp.net")
        session.refresh_from_db()
        assert (session.end_reason, session.reported_phone) == (EndReason.WRONG_NUMBER, PHONE)
        assert status_of(account) == Status.FAILED

    def test_of_the_expected_phone_counts(self, portal: Portal, workspace: Workspace) -> None:
        account, session = expecting(workspace, "5585987650001")
        link(portal, session, phone_number="6281200000009", device_jid="558587650001:7@s.whatsapp.net")
        assert (status_of(account), account.phone_number) == (Status.CONNECTED, "558587650001")

    def test_tells_what_the_number_does_not(self, portal: Portal, session: LinkSession) -> None:
        link(portal, session, phone_number="unknown", device_jid=f"{PHONE}:7@s.whatsapp.net")
        assert (status_of(session.account), session.account.phone_number) == (Status.CONNECTED, PHONE)

    @pytest.mark.parametrize("jid", ["123456789012345:3@lid", "123456789012345:3@s.whatsapp.net", "sim-7", ""])
    def test_that_is_no_phones_does_not_count(self, portal: Portal, session: LinkSession, jid: str) -> None:
        link(portal, session, device_jid=jid)
        assert (status_of(session.account), session.account.phone_number) == (Status.CONNECTED, PHONE)


class TestAChangedNumber:
    NEW = "6281299999999"

    @pytest.fixture
    def changed(self, portal: Portal, session: LinkSession) -> Account:
        link(portal, session)
        ready(portal, session, self.NEW)
        session.account.refresh_from_db()
        return session.account

    def test_is_learnt_once(self, portal: Portal, session: LinkSession, changed: Account) -> None:
        for _ in range(3):
            portal.post("session_disconnected", session, reason="NAVIGATION")
            ready(portal, session, self.NEW)
        assert (status_of(changed), changed.phone_number, changed.new_phone) == (Status.CONNECTED, PHONE, self.NEW)
        told = Transition.objects.filter(account=changed, reason="The phone reports another number than before.")
        assert told.count() == 1

    def test_is_found_and_counts_at_the_next_scan(self, portal: Portal, changed: Account) -> None:
        assert Account.objects.with_phone(self.NEW).get() == changed
        attempts.force_reset(changed.pk)
        link(portal, again := attempts.start(changed.pk, trigger="test"), phone_number=self.NEW)
        again.refresh_from_db()
        assert (status_of(changed), again.is_open) == (Status.CONNECTED, True)

    def test_is_taken_and_nothing_is_unlinked(self, session: LinkSession, changed: Account, staff: User) -> None:
        number_decisions.take_new_number(changed.pk, actor=staff)
        assert (status_of(changed), changed.phone_number, changed.new_phone) == (Status.CONNECTED, self.NEW, "")
        assert not stops_of(session).exists()
        assert not Account.objects.with_phone(PHONE).exists()

    def test_is_forgotten_when_the_former_one_is_back(
        self, portal: Portal, session: LinkSession, changed: Account
    ) -> None:
        ready(portal, session, PHONE)
        assert (status_of(changed), changed.phone_number, changed.new_phone) == (Status.CONNECTED, PHONE, "")

    def test_a_second_link_of_it_is_merged(self, portal: Portal, changed: Account) -> None:
        placeholder, second = expecting(changed.workspace, None)
        link(portal, second, phone_number=self.NEW)
        placeholder.refresh_from_db()
        changed.refresh_from_db()
        assert (placeholder.merged_into, changed.current_session) == (changed, second)

    def test_of_another_account_is_flagged_and_staff_merge(
        self, portal: Portal, session: LinkSession, changed: Account, staff: User
    ) -> None:
        other, second = expecting(changed.workspace, None)
        Account.objects.filter(pk=other.pk).update(phone_number=self.NEW)
        link(portal, second, phone_number=self.NEW)
        assert status_of(other) == status_of(changed) == Status.CONNECTED
        changed.refresh_from_db()
        assert changed.twin_of == other
        with pytest.raises(DecisionRefused):
            number_decisions.take_new_number(changed.pk, actor=staff)
        number_decisions.merge_twin(changed.pk, actor=staff)
        session.refresh_from_db()
        other.refresh_from_db()
        assert (status_of(other), other.current_session, other.phone_number) == (Status.CONNECTED, second, self.NEW)
        assert session.end_reason == EndReason.SUPERSEDED
        assert stops_of(session).get().logout

    def test_is_one_notice_also_when_it_goes_to_and_fro(
        self, portal: Portal, session: LinkSession, changed: Account
    ) -> None:
        for number in (PHONE, self.NEW, PHONE, self.NEW):
            ready(portal, session, number)
        assert Transition.objects.filter(reason="The phone reports another number than before.").count() == 1

    def test_is_none_any_more_where_staff_type_it(self, changed: Account) -> None:
        changed.phone_number = self.NEW
        changed.save()
        changed.refresh_from_db()
        assert (changed.new_phone, changed.new_phone_key) == ("", "")


class TestOneLiveAccountPerKey:
    def test_the_database_refuses_a_second(self, workspace: Workspace) -> None:
        Account.objects.create(workspace=workspace, phone_number="5585987650001")
        with pytest.raises(IntegrityError):
            Account.objects.create(workspace=workspace, phone_number="558587650001")

    def test_a_deleted_twin_leaves_the_key_to_the_other(self, workspace: Workspace, staff: User) -> None:
        first = Account.objects.create(workspace=workspace, phone_number="5585987650001")
        twin = Account.objects.create(workspace=workspace)
        Account.objects.filter(pk=twin.pk).update(phone_number="558587650001", twin_of=first)
        assert number_decisions.merge_twin(twin.pk, actor=staff) == first
        assert Account.objects.live().get() == first
        with pytest.raises(DecisionRefused):
            number_decisions.merge_twin(twin.pk, actor=staff)

    def test_a_twin_links_and_works_on(self, portal: Portal, workspace: Workspace) -> None:
        first, session = expecting(workspace, "5585987650001")
        link(portal, session, phone_number="558587650001")
        twin, second = expecting(workspace, None)
        Account.objects.filter(pk=twin.pk).update(phone_number="5585987650001", twin_of=first)
        link(portal, second, phone_number="558587650001")
        assert status_of(first) == status_of(twin) == Status.CONNECTED
        assert twin.twin_of == first
