"""The desk is lost, and yesterday's backup is put in its place: the bridge's newer links wait for staff, and none is
harmed. The commands are those of docs/operations.md."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from bridge.engines.simulated_phone import derived_phone
from tests.support.desk import Desk, installation
from tests.support.documented import commands_below, run_bash
from tests.support.processes import STARTS_WITHIN, until

OLDER, NEWER = 5, 30
PORTAL = ("web", "worker1", "worker2")
WITHIN = 60  # seconds
TIMES = {  # what makes a backup look old
    "accounts_bridge": ("last_heard_at", "last_heartbeat_at", "last_polled_at", "heard_since", "booted_at"),
    "whatsapp_sessions": ("last_seen_at", "authenticated_at", "connected_at", "started_at", "admitted_at"),
    "whatsapp_accounts": ("status_changed_at",),
    "accounts_pulse": ("asked_at", "answered_at"),
}
STRAYS = "FROM accounts_straysession WHERE settled_at IS NULL"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.needs("MariaDB", "Redis", "mariadbd", "redis-server"),  # it starts servers of its own
]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with installation(tmp_path, names=["ayu"], LINKDESK_LOG_LEVEL="WARNING") as desk:
        desk.environment["DJANGO_SUPERUSER_PASSWORD"] = "only-for-this-test"
        desk.manage("createsuperuser", "--noinput", "--username", "sari", "--email", "sari@localhost")
        until(lambda: desk.running() == {"ayu": 0}, within=WITHIN, what="the bridge serves")
        desk.rows("UPDATE accounts_bridge SET pairings_at_once = 30")
        until(lambda: _lists(desk) > 0, within=WITHIN, what="the bridge is heard")
        yield desk


def test_yesterdays_backup_stops_nobody_lists_the_newer_links_and_adopting_links_them(
    desk: Desk, tmp_path: Path
) -> None:
    _link(desk, range(1, OLDER + 1))
    _run_documented("Back up the database", desk, tmp_path)
    phones = _link(desk, range(OLDER + 1, OLDER + NEWER + 1))
    _tell("linked", desk)

    _stop_portal(desk)
    _run_documented("Restore the database", desk, tmp_path)
    _age_by_a_day(desk)
    _recall_two_before_they_linked(desk)
    _tell("restored", desk)
    assert desk.statuses() == {"connected": OLDER - 2, "disconnected": 1, "qr_scanning": 1}

    _start_portal(desk, reconcile="observe")
    until(lambda: _strays(desk) == phones, within=WITHIN, what="all newer links are listed", last=desk.describe)
    told = f"SELECT COUNT(*) {STRAYS} AND workspace_said <> ''"
    until(lambda: desk.rows(told) == [(NEWER,)], within=WITHIN, what="the bridge says of each whose it is")
    believed = {"connected": OLDER - 1, "disconnected": 1}
    until(lambda: desk.statuses() == believed, within=3 * WITHIN, what="the scanned one is taken back")
    _wait_for_cleanup(desk)
    _wait_for_lists(desk)
    _tell("observed", desk)
    _nobody_was_touched(desk, believed)
    assert desk.rows("SELECT MAX(unknown), MIN(observing) FROM accounts_reconcilerun WHERE unknown") == [(NEWER, 1)]

    _adopt_all(desk)
    _tell("adopted", desk)
    assert _strays(desk) == []
    adopted = "SELECT phone_number FROM whatsapp_accounts WHERE status = 'connected' AND id > %s ORDER BY phone_number"
    assert [phone for (phone,) in desk.rows(adopted, OLDER)] == phones

    _stop_portal(desk)
    _start_portal(desk, reconcile="act")
    _wait_for_lists(desk)
    _tell("acting", desk)
    _nobody_was_touched(desk, {"connected": OLDER + NEWER})


def _link(desk: Desk, accounts: Sequence[int]) -> list[str]:
    """Their phones, in order. The simulated phone has a number by its account."""
    phones = [derived_phone(account_id) for account_id in accounts]
    for phone in phones:
        desk.pair(phone)
    until(lambda: desk.statuses() == {"connected": accounts[-1]}, within=WITHIN, what="all are linked")
    return sorted(phones)


def _run_documented(heading: str, desk: Desk, folder: Path) -> None:
    address, access = urlsplit(desk.database_url), folder / "mariadb.cnf"
    access.write_text(f"[client]\nhost=127.0.0.1\nport={address.port}\nuser=root\n")
    names = {"CNF": str(access), "DB": address.path.strip("/"), "SET": str(folder)}
    done = run_bash(commands_below(heading), names)
    assert done.returncode == 0, done.stderr


def _age_by_a_day(desk: Desk) -> None:
    for table, columns in TIMES.items():
        desk.rows(f"UPDATE {table} SET " + ", ".join(f"{column} = {column} - INTERVAL 1 DAY" for column in columns))


def _recall_two_before_they_linked(desk: Desk) -> None:
    """As a dump has them that was taken a moment earlier: one lost for long, one that waits for its first code."""
    lost = "status = 'disconnected', status_changed_at = status_changed_at - INTERVAL 8 DAY"
    desk.rows(f"UPDATE whatsapp_accounts SET {lost} WHERE id = 1")
    desk.rows("UPDATE whatsapp_accounts SET status = 'qr_scanning' WHERE id = 2")
    unscanned = "first_qr_at = NULL, qr_count = 0, authenticated_at = NULL, connected_at = NULL"
    desk.rows(f"UPDATE whatsapp_sessions SET {unscanned} WHERE account_id = 2")


def _wait_for_cleanup(desk: Desk) -> None:
    """The hourly one, on a bridge that has been up for long."""
    desk.rows("UPDATE accounts_bridge SET heard_since = heard_since - INTERVAL 2 HOUR")
    desk.rows("UPDATE django_q_schedule SET next_run = UTC_TIMESTAMP() WHERE name = 'clean up what is long over'")
    result = "SELECT result FROM accounts_lease WHERE name = 'job:clean up what is long over'"
    told = "nothing: it only observes"
    until(lambda: desk.rows(result) == [(told,)], within=2 * WITHIN, what="the cleanup has run", last=desk.describe)


def _stop_portal(desk: Desk) -> None:
    for name in reversed(PORTAL):
        desk.parts[name].stop()


def _start_portal(desk: Desk, *, reconcile: str) -> None:
    for name in PORTAL:
        desk.parts[name].environment["LINKDESK_RECONCILE"] = reconcile
        desk.parts[name].start()
    ready = f"{desk.url}/readyz"
    until(lambda: httpx.get(ready, timeout=5).is_success, within=STARTS_WITHIN, what="the portal serves")


def _wait_for_lists(desk: Desk) -> None:
    """Four more, each compared: three are what an absence takes."""
    for _ in range(4):
        _wait_for_list(desk, after=_lists(desk))


def _wait_for_list(desk: Desk, *, after: float) -> None:
    until(lambda: _lists(desk) > after, within=WITHIN, what="the bridge's list is compared", last=desk.describe)


def _lists(desk: Desk) -> float:
    """When its last list was compared with the record; 0: none was."""
    of_bridge = "FROM accounts_lease WHERE name LIKE 'reconcile of bridge %%'"
    return float(desk.rows(f"SELECT COALESCE(MAX(UNIX_TIMESTAMP(released_at)), 0) {of_bridge}")[0][0])


def _strays(desk: Desk) -> list[str]:
    return [phone for (phone,) in desk.rows(f"SELECT phone_number {STRAYS} ORDER BY phone_number")]


def _nobody_was_touched(desk: Desk, believed: Mapping[str, int]) -> None:
    """A stop may have been on its way, a question may have been asked: neither touches a link."""
    assert desk.running() == {"ayu": OLDER + NEWER}
    assert desk.statuses() == believed
    assert desk.rows("SELECT SUM(restored), SUM(stopped) FROM accounts_reconcilerun") == [(0, 0)]
    beyond_linking = "kind NOT IN ('start', 'check') AND state <> 'cancelled' OR kind = 'start' AND why <> ''"
    assert desk.rows(f"SELECT kind, state FROM accounts_bridgeorder WHERE {beyond_linking}") == []
    assert desk.rows("SELECT id FROM whatsapp_sessions WHERE ended_at IS NOT NULL") == []


def _adopt_all(desk: Desk) -> None:
    """As staff do in the admin: select all, say whose they are, confirm."""
    ids = [str(pk) for (pk,) in desk.rows(f"SELECT id {STRAYS}")]
    with httpx.Client(base_url=f"{desk.url}/admin", timeout=30) as staff:
        assert staff.get("/login/").is_success
        _post(staff, "/login/?next=/admin/", {"username": "sari", "password": "only-for-this-test"})
        chosen: dict[str, str | list[str]] = {"action": "adopt_selected", "_selected_action": ids}
        asked = _post(staff, "/accounts/straysession/", chosen)
        named = re.findall(r'<select name="(\d+)".*?value="(\d+)" selected', asked.text, re.DOTALL)
        assert sorted(pk for pk, _workspace in named) == sorted(ids), "each names its workspace"
        _post(staff, "/accounts/straysession/", chosen | {"confirmed": "yes"} | dict(named))


def _post(staff: httpx.Client, path: str, fields: Mapping[str, str | list[str]]) -> httpx.Response:
    token = {"csrfmiddlewaretoken": staff.cookies["csrftoken"]}
    answer = staff.post(path, data={**fields, **token}, headers={"Referer": str(staff.base_url)})
    assert answer.status_code in {200, 302}, answer.text
    return answer


def _tell(what: str, desk: Desk) -> None:
    """For whoever reads the run."""
    statuses, unknown = dict(desk.statuses()), len(_strays(desk))
    print(f"\n{datetime.now(UTC):%T} {what}: the bridge runs {desk.running()['ayu']}, {statuses}, {unknown} unknown")
