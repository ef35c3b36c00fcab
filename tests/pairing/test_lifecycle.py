"""The states of an account: which moves there are, who makes them, and what the history keeps."""

import ast

import pytest

from accounts import snapshots
from accounts.lifecycle import MOVES, PAIRING, SOFT_ENDS, STATUS_AFTER, IllegalMove, Status
from accounts.models import Account, LinkSession, Transition, User
from accounts.pairing import attempts
from accounts.snapshots import View
from tests.support.links import QR, READY, link, status_of
from tests.support.portal import Portal
from tests.support.states import Reach, reach
from tests.support.writers import sources, writers

__all__ = ["reach"]


class TestTable:
    def test_every_status_has_its_moves(self) -> None:
        assert set(MOVES) == set(Status)
        assert set().union(*MOVES.values()) == set(Status)

    @pytest.mark.parametrize("status", Status)
    def test_each_status_can_be_reached_and_left(self, reach: Reach, status: Status) -> None:
        account = reach(status)
        attempts.force_reset(account.pk)
        assert status_of(account) == Status.INACTIVE

    @pytest.mark.parametrize("new", [Status.QR_SCANNING, Status.AUTHENTICATED, Status.QR_EXPIRED])
    def test_a_connected_account_is_never_taken_back_to_a_scan(self, new: Status) -> None:
        assert new not in MOVES[Status.CONNECTED]

    @pytest.mark.parametrize("old", [Status.INACTIVE, Status.QR_EXPIRED, Status.LOGGED_OUT, Status.FAILED])
    def test_without_a_link_there_is_nothing_to_lose(self, old: Status) -> None:
        assert not MOVES[old] & {Status.DISCONNECTED, Status.LOGGED_OUT, Status.ACTION_REQUIRED, Status.FAILED}

    def test_every_end_of_an_attempt_can_be_written_down(self) -> None:
        for why, after in STATUS_AFTER.items():
            for status in PAIRING - ({Status.AUTHENTICATED} if why in SOFT_ENDS else set()):
                assert after in MOVES[status], f"{status} -> {after} by {why}"

    @pytest.mark.parametrize("old", Status)
    @pytest.mark.parametrize("new", Status)
    def test_a_move_is_in_the_table_or_is_refused(self, account: Account, old: Status, new: Status) -> None:
        Account.objects.update(status=old)
        account.refresh_from_db()
        if new in MOVES[old]:
            account.move(new, trigger="test", reason="because")
            assert account.transitions.values_list("old", "new", "trigger", "reason").get() == (
                old,
                new,
                "test",
                "because",
            )
        else:
            with pytest.raises(IllegalMove):
                account.move(new, trigger="test")
        fresh = Account.objects.get()
        assert fresh.status == (new if new in MOVES[old] else old)
        assert fresh.version == account.version == 1 + (new in MOVES[old])
        assert fresh.transitions.count() == (new in MOVES[old])


class TestOneWriter:
    """Who else writes a status leaves no history."""

    def test_only_account_move_writes_a_status(self) -> None:
        found = [
            (path, ast.unparse(node)) for path, tree in sources() for node in writers(tree, "status", model="Account")
        ]
        assert found == [("accounts/models/account.py", "self.status = new")]

    @pytest.mark.parametrize(
        "code",
        [
            "account.status = Status.FAILED",
            "account.status, x = 1, 2",
            "account.status: str = 'x'",
            "setattr(account, 'status', 'x')",
            "Account.objects.filter(pk=1).update(version=2, status='x')",
            "Account(status='x')",
        ],
    )
    def test_the_scan_sees_every_way_to_write_one(self, code: str) -> None:
        assert list(writers(ast.parse(code), "status", model="Account"))


class TestMoments:
    def test_the_first_link_is_kept_of_an_account_and_the_last_of_a_session(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        assert not account.was_linked()
        link(portal, session)
        account.refresh_from_db()
        session.refresh_from_db()
        first = account.status_changed_at
        assert account.first_linked_at == session.last_connected_at == first
        portal.post("session_disconnected", session, reason="CONFLICT")
        portal.post("session_ready", session, **READY)
        account.refresh_from_db()
        session.refresh_from_db()
        assert (account.first_linked_at, session.last_connected_at) == (first, account.status_changed_at)
        assert account.status_changed_at > first
        assert session.lost_reason == "CONFLICT"

    def test_a_bridges_reason_is_cut_to_its_column(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        link(portal, session)
        portal.post("session_disconnected", session, reason="x" * 500)
        session.refresh_from_db()
        assert (status_of(account), session.lost_reason) == (Status.DISCONNECTED, "x" * 191)


class TestHistory:
    def test_a_row_is_never_changed(self, session: LinkSession) -> None:
        row = Transition.objects.get()
        row.reason = "it was not me"
        with pytest.raises(TypeError):
            row.save()
        row.refresh_from_db()
        assert row.reason == ""

    def test_it_says_who_and_why(self, account: Account, session: LinkSession) -> None:
        alice = User.objects.create(username="alice")
        attempts.force_reset(account.pk, actor=alice, reason="the customer asked")
        row = account.transitions.first()
        assert row is not None
        assert (row.old, row.new, row.actor, row.reason) == ("qr_scanning", "inactive", alice, "the customer asked")


class TestActionRequired:
    def test_a_code_that_comes_late_does_not_take_a_scanned_session_back(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        """Rule "A code demotes nobody". It was drawn before the scan, and overtaken by what the scan brought about."""
        portal.post("session_authenticated", session)
        portal.post("session_action_required", session, kind="passkey", message="Confirm on the phone")
        assert portal.post("qr_code_generated", session, **QR).json()["outcome"] == "qr_after_scan"
        assert status_of(account) == Status.ACTION_REQUIRED

    def test_a_code_takes_an_unscanned_session_back_to_scanning(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        portal.post("session_action_required", session, kind="passkey", message="Confirm on the phone")
        portal.post("qr_code_generated", session, **QR)
        assert status_of(account) == Status.QR_SCANNING

    def test_the_page_shows_what_the_phone_asks_for(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        portal.post("session_action_required", session, kind="passkey", message="Confirm on the phone")
        shown = snapshots.take(account.pk)
        assert (shown["view"], shown["action_message"]) == (View.ACTION, "Confirm on the phone")
        portal.post("session_authenticated", session)
        assert snapshots.take(account.pk)["view"] == View.FINISHING
