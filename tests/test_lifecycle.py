"""The states of an account: which moves there are, who makes them, and when an attempt lapses."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.utils import timezone

from accounts import pairing, snapshots
from accounts.lifecycle import MOVES, PAIRING, SOFT_ENDS, STATUS_AFTER, EndReason, IllegalMove, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkInvitation, LinkSession, Transition, Workspace
from accounts.pairing import PairingRefused
from accounts.snapshots import View
from accounts.tasks import expire_overdue
from tests.conftest import Portal
from tests.queue import run_due_tasks
from tests.test_webhook_contract import QR, READY, link, move_back, status_of, stops_of

ROOT = Path(__file__).resolve().parent.parent

Reach = Callable[[Status], Account]


@pytest.fixture
def reach(portal: Portal, account: Account) -> Reach:
    """reach(status): the account, brought there by what really happens."""

    def go(status: Status) -> Account:
        if status != Status.INACTIVE:
            _ROADS[status](portal, pairing.start(account.pk, trigger="test"))
        assert status_of(account) == status
        return account

    return go


def _expire(portal: Portal, session: LinkSession) -> None:
    portal.post("qr_code_generated", session, **QR)
    move_back(session, 121)
    pairing.expire(session.pk)


def _lose(portal: Portal, session: LinkSession, **reason: str) -> None:
    link(portal, session)
    portal.post("session_disconnected", session, **reason)


_ROADS: dict[Status, Callable[[Portal, LinkSession], object]] = {
    Status.QR_SCANNING: lambda portal, session: portal.post("qr_code_generated", session, **QR),
    Status.ACTION_REQUIRED: lambda portal, session: portal.post("session_action_required", session, kind="passkey"),
    Status.AUTHENTICATED: lambda portal, session: portal.post("session_authenticated", session),
    Status.CONNECTED: link,
    Status.DISCONNECTED: _lose,
    Status.QR_EXPIRED: _expire,
    Status.LOGGED_OUT: lambda portal, session: _lose(portal, session, reason="LOGOUT"),
    Status.FAILED: lambda portal, session: portal.post("session_error", session, error="phone_extraction_failed"),
}


def in_peace(account: Account) -> Account:
    """After the quiet time."""
    account.refresh_from_db()
    if account.current_session is not None:
        move_back(account.current_session, 121)
    return account


class TestTable:
    def test_every_status_has_its_moves(self) -> None:
        assert set(MOVES) == set(Status)
        assert set().union(*MOVES.values()) == set(Status)

    @pytest.mark.parametrize("status", Status)
    def test_each_status_can_be_reached_and_left(self, reach: Reach, status: Status) -> None:
        account = reach(status)
        pairing.force_reset(account.pk)
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

    FOLDERS = ("accounts", "api", "webhooks", "linking", "sessions_admin")
    CHANGING = frozenset({"update", "update_or_create", "bulk_create", "create", "get_or_create", "Account"})

    def trees(self) -> Iterator[tuple[Path, ast.AST]]:
        for folder in self.FOLDERS:
            for path in (ROOT / folder).rglob("*.py"):
                if "migrations" not in path.parts:
                    yield path.relative_to(ROOT), ast.parse(path.read_text())

    def writers(self, tree: ast.AST) -> Iterator[ast.AST]:
        """Assignments to `.status`, `setattr(..., "status", ...)`, and calls that write it through a query."""
        for node in ast.walk(tree):
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            flat = [item for target in targets for item in (target.elts if isinstance(target, ast.Tuple) else [target])]
            if any(isinstance(target, ast.Attribute) and target.attr == "status" for target in flat):
                yield node
            if isinstance(node, ast.Call) and self.writes_status(node):
                yield node

    def writes_status(self, call: ast.Call) -> bool:
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name == "setattr":
            return any(isinstance(argument, ast.Constant) and argument.value == "status" for argument in call.args)
        return name in self.CHANGING and any(keyword.arg == "status" for keyword in call.keywords)

    def test_only_account_move_writes_a_status(self) -> None:
        found = [(str(path), ast.unparse(node)) for path, tree in self.trees() for node in self.writers(tree)]
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
        assert list(self.writers(ast.parse(code)))


class TestHistory:
    def test_a_row_is_never_changed(self, session: LinkSession) -> None:
        row = Transition.objects.get()
        row.reason = "it was not me"
        with pytest.raises(TypeError):
            row.save()
        row.refresh_from_db()
        assert row.reason == ""

    def test_it_says_who_and_why(self, account: Account, django_user_model: type, session: LinkSession) -> None:
        alice = django_user_model.objects.create(username="alice")  # type: ignore[attr-defined]
        pairing.force_reset(account.pk, actor=alice, reason="the customer asked")
        row = account.transitions.first()
        assert row is not None
        assert (row.old, row.new, row.actor, row.reason) == ("qr_scanning", "inactive", alice, "the customer asked")


class TestStart:
    @pytest.mark.parametrize(
        "status", [Status.INACTIVE, Status.QR_EXPIRED, Status.LOGGED_OUT, Status.FAILED, Status.DISCONNECTED]
    )
    def test_begins_a_new_session_with_a_new_id(self, reach: Reach, status: Status) -> None:
        account = in_peace(reach(status))
        before = set(account.sessions.values_list("session_id", flat=True))
        session = pairing.start(account.pk, trigger="test")
        account.refresh_from_db()
        assert session.session_id not in before
        assert account.current_session == session
        assert account.status == Status.QR_SCANNING
        assert account.sessions.filter(ended_at=None).get() == session

    def test_the_lost_session_it_replaces_is_superseded(self, reach: Reach) -> None:
        lost = in_peace(reach(Status.DISCONNECTED)).current_session
        assert lost is not None
        pairing.start(lost.account_id, trigger="test")
        lost.refresh_from_db()
        assert lost.end_reason == EndReason.SUPERSEDED
        assert stops_of(lost).get().logout

    @pytest.mark.parametrize(
        ("status", "at_most"), [(Status.QR_SCANNING, 120), (Status.ACTION_REQUIRED, 300), (Status.AUTHENTICATED, 90)]
    )
    def test_one_at_a_time(self, reach: Reach, status: Status, at_most: int) -> None:
        account = reach(status)
        with pytest.raises(PairingRefused) as refusal:
            pairing.start(account.pk, trigger="test")
        assert refusal.value.code == "PAIRING_IN_PROGRESS"
        assert at_most - 5 <= (refusal.value.retry_after or 0) <= at_most
        assert account.sessions.count() == 1

    @pytest.mark.parametrize("force", [False, True])
    def test_a_connected_account_is_left_alone(self, reach: Reach, force: bool) -> None:
        account = in_peace(reach(Status.CONNECTED))
        with pytest.raises(PairingRefused) as refusal:
            pairing.start(account.pk, trigger="test", force=force, may_interrupt=force)
        assert refusal.value.code == "ALREADY_CONNECTED"
        assert status_of(account) == Status.CONNECTED

    @pytest.mark.parametrize("status", [Status.QR_SCANNING, Status.ACTION_REQUIRED])
    def test_a_new_code_replaces_one_that_waits_for_its_scan(self, reach: Reach, status: Status) -> None:
        account = reach(status)
        old = account.current_session
        assert old is not None
        new = pairing.start(account.pk, trigger="test", force=True)
        old.refresh_from_db()
        assert new.session_id != old.session_id
        assert old.end_reason == EndReason.RENEWED
        assert not stops_of(old).get().logout

    def test_a_new_code_does_not_interrupt_one_that_was_scanned(self, reach: Reach) -> None:
        account = reach(Status.AUTHENTICATED)
        with pytest.raises(PairingRefused) as refusal:
            pairing.start(account.pk, trigger="test", force=True)
        assert refusal.value.code == "PAIRING_IN_PROGRESS"
        assert status_of(account) == Status.AUTHENTICATED

    def test_staff_may_interrupt_it(self, reach: Reach) -> None:
        account = reach(Status.AUTHENTICATED)
        pairing.start(account.pk, trigger="test", force=True, may_interrupt=True)
        assert status_of(account) == Status.QR_SCANNING

    @pytest.mark.parametrize("status", PAIRING)
    def test_one_that_has_lapsed_stands_in_nobodys_way(self, reach: Reach, status: Status) -> None:
        account = reach(status)
        assert account.current_session is not None
        move_back(account.current_session, 400)
        assert pairing.start(account.pk, trigger="test")
        assert account.transitions.filter(trigger="deadline").exists()

    def test_the_eleventh_placeholder_waits(self, workspace: Workspace, bridge: Bridge) -> None:
        for _ in range(10):
            pairing.start(Account.objects.create(workspace=workspace).pk, trigger="test")
        eleventh = Account.objects.create(workspace=workspace)
        with pytest.raises(PairingRefused) as refusal:
            pairing.start(eleventh.pk, trigger="test")
        assert refusal.value.code == "TOO_MANY_PAIRINGS"
        assert refusal.value.retry_after
        assert eleventh.sessions.count() == 0

    def test_an_account_with_a_phone_and_another_workspace_are_not_held_up_by_them(
        self, workspace: Workspace, bridge: Bridge
    ) -> None:
        for _ in range(10):
            pairing.start(Account.objects.create(workspace=workspace).pk, trigger="test")
        known = Account.objects.create(workspace=workspace, phone_number="6281200000001")
        elsewhere = Account.objects.create(workspace=Workspace.objects.create(name="Toko Bob"))
        assert pairing.start(known.pk, trigger="test")
        assert pairing.start(elsewhere.pk, trigger="test")

    @pytest.mark.parametrize("why_not", [{"draining": True}, {"weight": 0}, {"capacity": 0}], ids=str)
    def test_no_bridge_no_session(self, account: Account, why_not: dict[str, int]) -> None:
        Bridge.objects.update(**why_not)
        with pytest.raises(PairingRefused) as refusal:
            pairing.start(account.pk, trigger="test")
        assert refusal.value.code == "NO_BRIDGE_AVAILABLE"
        assert account.sessions.count() == account.transitions.count() == 0

    def test_a_bridge_of_other_workspaces_is_not_taken(self, account: Account, bridge: Bridge) -> None:
        bridge.workspaces.add(Workspace.objects.create(name="Toko Bob"))
        with pytest.raises(PairingRefused) as refusal:
            pairing.start(account.pk, trigger="test")
        assert refusal.value.code == "NO_BRIDGE_AVAILABLE"

    def test_a_merged_account_is_paired_as_the_one_it_lives_on_as(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        """The page has looked its account up, and then the merge came."""
        placeholder = account
        known = Account.objects.create(workspace=account.workspace, phone_number=READY["phone_number"])
        link(portal, session)
        portal.post("session_disconnected", session, reason="NAVIGATION")
        placeholder.refresh_from_db()
        assert placeholder.merged_into == known
        in_peace(known)
        begun = pairing.start(placeholder.pk, trigger="test")
        assert begun.account_id == known.pk


class TestForceReset:
    @pytest.mark.parametrize("status", Status)
    def test_ends_whatever_there_is_and_can_be_asked_for_twice(self, reach: Reach, status: Status) -> None:
        account = reach(status)
        for _ in range(2):
            pairing.force_reset(account.pk, reason="test")
        assert status_of(account) == Status.INACTIVE
        assert not account.sessions.filter(ended_at=None).exists()
        assert account.transitions.filter(trigger="force_reset").count() == 2
        assert BridgeOrder.objects.filter(kind="stop").count() <= 1

    @pytest.mark.parametrize("status", [*PAIRING, Status.CONNECTED, Status.DISCONNECTED])
    def test_the_device_is_unlinked_at_once(self, reach: Reach, status: Status) -> None:
        account = reach(status)
        pairing.force_reset(account.pk)
        stop = BridgeOrder.objects.get(kind="stop")
        assert stop.logout
        assert stop.due_at <= timezone.now()

    def test_a_soft_end_before_it_becomes_final(self, reach: Reach) -> None:
        account = reach(Status.QR_EXPIRED)
        assert BridgeOrder.objects.get(kind="stop").due_at > timezone.now()
        pairing.force_reset(account.pk)
        stop = BridgeOrder.objects.get(kind="stop")
        assert stop.logout
        assert stop.due_at <= timezone.now()

    def test_open_invitations_are_revoked_and_only_this_accounts(self, account: Account) -> None:
        url = LinkInvitation.issue(account)
        other = LinkInvitation.issue(Account.objects.create(workspace=account.workspace))
        pairing.force_reset(account.pk)
        usable = {
            LinkInvitation.objects.find(link.split("/")[-2]).is_usable: link  # type: ignore[union-attr]
            for link in (url, other)
        }
        assert usable == {False: url, True: other}

    def test_afterwards_it_can_be_paired_again(self, reach: Reach) -> None:
        account = reach(Status.CONNECTED)
        pairing.force_reset(account.pk)
        pairing.start(account.pk, trigger="test")
        assert status_of(account) == Status.QR_SCANNING


DEADLINES = [
    ("", 60, Status.FAILED, EndReason.BRIDGE_UNAVAILABLE),
    (Status.QR_SCANNING, 120, Status.QR_EXPIRED, EndReason.QR_EXPIRED),
    (Status.ACTION_REQUIRED, 300, Status.FAILED, EndReason.ACTION_NOT_TAKEN),
    (Status.AUTHENTICATED, 90, Status.FAILED, EndReason.NEVER_READY),
]


class TestDeadlines:
    @pytest.mark.parametrize(("status", "seconds", "after", "why"), DEADLINES)
    def test_an_attempt_lapses(
        self,
        portal: Portal,
        account: Account,
        session: LinkSession,
        status: Status,
        seconds: int,
        after: Status,
        why: EndReason,
    ) -> None:
        if status:
            _ROADS[status](portal, session)
        move_back(session, seconds - 5)
        assert not pairing.expire(session.pk)
        move_back(session, seconds + 1)
        assert pairing.expire(session.pk)
        assert not pairing.expire(session.pk)
        session.refresh_from_db()
        assert status_of(account) == after
        assert session.end_reason == why
        assert stops_of(session).count() == 1

    @pytest.mark.parametrize(("status", "seconds", "after", "why"), DEADLINES)
    def test_a_snapshot_tells_it_before_the_worker_does_and_writes_nothing(
        self,
        portal: Portal,
        account: Account,
        session: LinkSession,
        status: Status,
        seconds: int,
        after: Status,
        why: EndReason,
    ) -> None:
        if status:
            _ROADS[status](portal, session)
        move_back(session, seconds + 1)
        before = Account.objects.values().get(), LinkSession.objects.values().get()
        shown = snapshots.take(account.pk)
        assert (shown["status"], shown["reason"], shown["expires_in"]) == (after, why, None)
        assert shown["qr_svg"] == ""
        assert (Account.objects.values().get(), LinkSession.objects.values().get()) == before

    @pytest.mark.parametrize("status", [Status.CONNECTED, Status.DISCONNECTED])
    def test_a_link_has_none(self, reach: Reach, status: Status) -> None:
        account = reach(status)
        assert account.current_session is not None
        move_back(account.current_session, 100_000)
        assert not pairing.expire(account.current_session.pk)
        assert snapshots.take(account.pk)["expires_in"] is None

    def test_the_worker_is_told_when_to_look(self, portal: Portal, account: Account, session: LinkSession) -> None:
        portal.post("qr_code_generated", session, **QR)
        Bridge.objects.update(url="http://127.0.0.1:1")
        move_back(session, 121)
        run_due_tasks(within=122)
        assert status_of(account) == Status.QR_EXPIRED

    def test_the_sweep_finds_what_the_queue_lost(self, portal: Portal, account: Account, session: LinkSession) -> None:
        move_back(session, 61)
        expire_overdue()
        assert status_of(account) == Status.FAILED

    def test_a_fresh_code_does_not_prolong_it(self, portal: Portal, account: Account, session: LinkSession) -> None:
        """A bridge shows codes for ever: the 120 s run from the first one."""
        portal.post("qr_code_generated", session, **QR)
        move_back(session, 100)
        portal.post("qr_code_generated", session, **QR)
        left = snapshots.take(account.pk)["expires_in"]
        assert left is not None
        assert 15 < left <= 20


class TestActionRequired:
    def test_a_code_that_comes_late_does_not_take_a_scanned_session_back(
        self, portal: Portal, account: Account, session: LinkSession
    ) -> None:
        """Rule 2. It was drawn before the scan, and overtaken by what the scan brought about."""
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
