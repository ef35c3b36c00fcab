"""The reasons go from sentences and history rows into columns, and back, in a table that has rows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support import migrations
from tests.support.migrations import migrate, newest_after_all

NAME = ("accounts", "0010_reasons_in_columns")
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)

__all__ = ["newest_after_all"]

pytestmark = pytest.mark.usefixtures("newest_after_all")


def before() -> Any:
    return migrate(*migrations.before(NAME))


def after() -> Any:
    return migrate(NAME)


def hours(count: float) -> datetime:
    return NOON + timedelta(hours=count)


class Rows:
    """Written with the models of one version."""

    def __init__(self, apps: Any) -> None:
        self.models = {name: apps.get_model("accounts", name) for name in ("Account", "LinkSession", "Transition")}
        self.workspace = apps.get_model("accounts", "Workspace").objects.create(name="Toko Alice")
        self.bridge = apps.get_model("accounts", "Bridge").objects.create(name="alpha", url="http://127.0.0.1:9")

    def account(self, status: str = "connected") -> Any:
        return self.models["Account"].objects.create(workspace=self.workspace, status=status)

    def session(self, name: str, account: Any, **values: Any) -> Any:
        made = self.models["LinkSession"].objects.create(
            session_id=name, account=account, bridge=self.bridge, started_at=NOON, **values
        )
        self.models["Account"].objects.filter(pk=account.pk).update(current_session=made)
        return made

    def moved(self, account: Any, old: str, new: str, at: datetime, *, trigger: str = "test", **values: Any) -> None:
        self.models["Transition"].objects.create(
            account=account, old=old, new=new, created_at=at, trigger=trigger, **values
        )


def session_of(apps: Any, name: str) -> Any:
    return apps.get_model("accounts", "LinkSession").objects.get(session_id=name)


def first_linked_at(apps: Any, account: Any) -> datetime | None:
    moment: datetime | None = apps.get_model("accounts", "Account").objects.get(pk=account.pk).first_linked_at
    return moment


class TestForwards:
    def test_only_an_end_for_a_code_alone_is_a_guess(self) -> None:
        rows = Rows(before())
        for name, detail in (("guessed", "It showed a QR code."), ("told", "LOGOUT")):
            rows.session(name, rows.account("logged_out"), ended_at=NOON, end_reason="logged_out", end_detail=detail)
        rows.session("open", rows.account())
        apps = after()
        assert [session_of(apps, name).end_cause for name in ("guessed", "told", "open")] == ["showed_code", "", ""]
        assert session_of(apps, "guessed").end_reason == "logged_out"

    def test_the_reason_of_the_last_loss_is_kept_where_a_bridge_gave_it(self) -> None:
        rows, lost = Rows(before()), ("connected", "disconnected")
        told, ours, back, silent = (rows.account(status) for status in (lost[1], lost[1], lost[0], lost[1]))
        for name, account in (("told", told), ("ours", ours), ("back", back), ("silent", silent)):
            session = rows.session(name, account, connected_at=NOON)
            if account != silent:
                rows.moved(account, *lost, hours(1), session=session, trigger="session_disconnected", reason="CONFLICT")
        rows.moved(told, "disconnected", "disconnected", hours(2), trigger="check", reason="It is started again.")
        rows.moved(ours, *lost, hours(2), trigger="reconcile", reason="The bridge lists it as not connected.")
        rows.moved(back, "disconnected", "connected", hours(2))
        apps = after()
        kept = [session_of(apps, name).lost_reason for name in ("told", "ours", "back", "silent")]
        assert kept == ["CONFLICT", "", "", ""]

    def test_a_long_reason_is_cut_to_its_column(self) -> None:
        rows = Rows(before())
        account = rows.account("disconnected")
        rows.session("s", account)
        rows.moved(account, "connected", "disconnected", NOON, trigger="mark_disconnected", reason="é" * 500)
        assert session_of(after(), "s").lost_reason == "é" * 191

    def test_a_session_was_last_connected_when_its_account_last_came_to_be(self) -> None:
        rows = Rows(before())
        account, other = rows.account(), rows.account()
        session = rows.session("s", account, connected_at=NOON)
        for at in (0, 5, 3):
            rows.moved(account, "disconnected", "connected", hours(at), session=session)
        rows.moved(account, "connected", "connected", hours(9), session=session, reason="Only a note.")
        rows.session("adopted", other, connected_at=NOON)
        apps = after()
        assert session_of(apps, "s").last_connected_at == hours(5)
        assert session_of(apps, "adopted").last_connected_at is None

    def test_an_account_was_first_linked_when_a_session_or_the_history_says_so(self) -> None:
        rows = Rows(before())
        by_both, by_history, adopted, never = (rows.account() for _ in range(4))
        rows.session("s", by_both, connected_at=hours(4))
        rows.moved(by_both, "authenticated", "connected", hours(3))
        rows.moved(by_both, "disconnected", "connected", hours(7))
        rows.moved(by_history, "authenticated", "connected", hours(2))
        rows.session("adopted", adopted, connected_at=hours(1))
        rows.moved(adopted, "disconnected", "connected", hours(8))
        rows.session("never", never)
        rows.moved(never, "qr_scanning", "qr_expired", hours(1))
        apps = after()
        moments = [first_linked_at(apps, account) for account in (by_both, by_history, adopted, never)]
        assert moments == [hours(3), hours(2), hours(1), None]


class TestBackwards:
    def test_a_guess_has_the_sentence_again_that_the_code_before_reads(self) -> None:
        rows = Rows(after())
        guess = {"ended_at": NOON, "end_reason": "logged_out", "end_cause": "showed_code"}
        rows.session("guessed", rows.account("logged_out"), end_detail="Menampilkan kode QR.", **guess)
        rows.session("told", rows.account("logged_out"), ended_at=NOON, end_reason="logged_out", end_detail="LOGOUT")
        apps = before()
        details = [session_of(apps, name).end_detail for name in ("guessed", "told")]
        assert details == ["It showed a QR code.", "LOGOUT"]

    def test_and_forwards_again_all_is_as_it_was(self) -> None:
        rows = Rows(after())
        account = rows.account("disconnected")
        session = rows.session("s", account, connected_at=hours(1), last_connected_at=hours(2), lost_reason="CONFLICT")
        rows.models["Account"].objects.filter(pk=account.pk).update(first_linked_at=hours(1))
        rows.moved(account, "authenticated", "connected", hours(2), session=session)
        told = {"session": session, "trigger": "session_disconnected", "reason": "CONFLICT"}
        rows.moved(account, "connected", "disconnected", hours(3), **told)
        before()
        apps = after()
        again = session_of(apps, "s")
        assert (again.last_connected_at, again.lost_reason) == (hours(2), "CONFLICT")
        assert first_linked_at(apps, account) == hours(1)
