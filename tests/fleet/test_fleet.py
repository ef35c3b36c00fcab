"""Sixty links on three bridges, and whatever can die dies: everybody comes back, and nobody scans again.

In each trouble a session vanishes at a bridge that goes on, behind the desk's back. Only an order brings it back: so
nothing is whole again before the desk has noticed, decided and delivered.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

import pytest

from bridge.engines.simulated_phone import derived_phone
from tests.support.desk import BRIDGES, NOBODY_SCANS, Desk, installation
from tests.support.processes import until

LINKS = 60
EACH = LINKS // len(BRIDGES)
WATCHED = "citra"  # never killed: what vanishes there comes back by an order alone
HEALS_WITHIN = 150  # seconds
STOPPED = 30  # seconds that the database is stopped
AWAY = 65  # seconds that a bridge is away: everything that runs each minute runs once
LONG_AGO = 600  # seconds that it is away by the record, and that what vanished was last seen
OPENING = "('check', 'start', 'reconnect')"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.needs("MariaDB", "Redis", "mariadbd", "redis-server"),  # it starts servers of its own
]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with installation(
        tmp_path_factory.mktemp("fleet"), LINKDESK_MAX_OPEN_PLACEHOLDERS="100", LINKDESK_LOG_LEVEL="WARNING"
    ) as desk:
        until(lambda: -1 not in desk.running().values(), within=30, what="the bridges serve")
        desk.rows("UPDATE accounts_bridge SET pairings_at_once = 30")
        until(lambda: _heard(desk) == len(BRIDGES), within=30, what="the bridges are heard")
        yield desk


def test_everybody_comes_back_and_nobody_scans_again(desk: Desk) -> None:
    _link_everybody(desk)
    _start_bridges_anew(desk, NOBODY_SCANS)  # from here on a session that lost its login would stay without one
    codes = _codes(desk)

    _heals(desk, "a bridge, killed", _killed("ayu"))
    _heals(desk, "the web process, killed, and a bridge with it", _killed("budi", "web"))
    _heals(desk, "both workers, killed", _killed("worker1", "worker2"))
    _heals(desk, f"MariaDB, stopped for {STOPPED} s while a bridge restarts", _database_stopped)
    _heals(desk, "Redis, restarted", _killed("redis"))
    _heals(desk, "a bridge, away for ten minutes", _away_for_long)

    assert _codes(desk) == codes, "somebody was shown a new code"
    assert desk.rows("SELECT COUNT(*) FROM whatsapp_sessions WHERE ended_at IS NOT NULL") == [(0,)]
    assert desk.rows("SELECT COUNT(*) FROM webhooks_webhookevent WHERE state IN ('dead', 'failed')") == [(0,)]
    _link_one_more(desk)


def _link_everybody(desk: Desk) -> None:
    began = time.monotonic()
    for account_id in range(1, LINKS + 1):  # the simulated phone has a number by its account
        desk.pair(derived_phone(account_id))
    until(lambda: desk.statuses() == {"connected": LINKS}, within=HEALS_WITHIN, what="all are linked")
    assert desk.running() == dict.fromkeys(BRIDGES, EACH)
    print(f"\n{LINKS} linked in {time.monotonic() - began:.0f} s: {desk.running()}")


def _start_bridges_anew(desk: Desk, environment: Mapping[str, str]) -> None:
    """Also the one that is never killed later: it reads its environment once."""
    for name in BRIDGES:
        desk.parts[name].environment |= environment
        desk.parts[name].kill()
        desk.parts[name].start()
    whole = dict.fromkeys(BRIDGES, EACH)
    until(lambda: desk.running() == whole, within=60, what="all bridges have restored", last=desk.describe)
    until(lambda: desk.statuses() == {"connected": LINKS}, within=60, what="all are linked again", last=desk.describe)


def _link_one_more(desk: Desk) -> None:
    _start_bridges_anew(desk, {"LINKDESK_SIM_SCAN_AFTER": "0.1"})
    desk.pair(derived_phone(LINKS + 1))
    took = until(lambda: desk.statuses() == {"connected": LINKS + 1}, within=60, what="one more is linked")
    assert sum(desk.running().values()) == LINKS + 1
    print(f"one more linked in {took:.0f} s: {desk.running()}")


def _heals(desk: Desk, what: str, break_it: Callable[[Desk], None]) -> None:
    before = desk.running()
    assert before == dict.fromkeys(BRIDGES, EACH)
    break_it(desk)
    over = datetime.now(UTC).replace(tzinfo=None)
    took = until(lambda: _is_whole(desk, over), within=HEALS_WITHIN, what=f"whole after {what}", last=desk.describe)
    print(f"{what}: {before} -> {desk.running()}, healed in {took:.0f} s")


def _is_whole(desk: Desk, since: datetime) -> bool:
    return (
        desk.statuses() == {"connected": LINKS}
        and desk.running() == dict.fromkeys(BRIDGES, EACH)
        and desk.is_ready()
        and bool(desk.rows("SELECT 1 FROM accounts_pulse WHERE answered_at > %s", since))
    )


def _killed(*names: str) -> Callable[[Desk], None]:
    def break_it(desk: Desk) -> None:
        for name in names:
            desk.parts[name].kill()
        _long_unseen(desk, _vanished(desk))
        for name in names:
            desk.parts[name].start()

    return break_it


def _vanished(desk: Desk) -> str:
    """The session that the bridge does not run any more, for sure."""
    gone = desk.forget_one(WATCHED)
    until(lambda: desk.running()[WATCHED] == EACH - 1, within=15, what="it has vanished")
    return gone


def _database_stopped(desk: Desk) -> None:
    desk.parts["mariadb"].stop()
    desk.parts["ayu"].kill()
    desk.parts["ayu"].start()
    gone = _vanished(desk)
    time.sleep(STOPPED)
    assert desk.running()[WATCHED] == EACH - 1
    desk.parts["mariadb"].start()
    until(lambda: bool(desk.rows("SELECT 1")), within=30, what="MariaDB serves")
    _long_unseen(desk, gone)


def _away_for_long(desk: Desk) -> None:
    """Ten minutes, by moving back what was last heard and seen. A silent bridge changes no status, counts no try."""
    desk.parts["budi"].kill()
    of_budi = "bridge_id = (SELECT id FROM accounts_bridge WHERE name = 'budi')"
    _move_back(desk, "accounts_bridge", "name = 'budi'", "last_heard_at", "last_heartbeat_at", "heard_since")
    _age(desk, of_budi)
    _long_unseen(desk, _vanished(desk))
    (last_order,) = desk.rows("SELECT COALESCE(MAX(id), 0) FROM accounts_bridgeorder")[0]
    until_then = time.monotonic() + AWAY
    while time.monotonic() < until_then:
        assert _statuses_where(desk, of_budi) == {"connected": EACH}
        time.sleep(1)
    told = f"SELECT kind, why FROM accounts_bridgeorder WHERE id > {last_order} AND kind IN {OPENING}"
    assert desk.rows(f"{told} AND {of_budi}") == [], "a silent bridge counts no try"
    assert desk.rows(told), "the other one was told to run what had vanished"
    desk.parts["budi"].start()


def _long_unseen(desk: Desk, session_id: str) -> None:
    """So that three lists without it are enough, and no minute must pass."""
    _age(desk, f"session_id = '{session_id}'")


def _age(desk: Desk, sessions: str) -> None:
    _move_back(desk, "whatsapp_sessions", sessions, "last_seen_at", "authenticated_at", "connected_at", "started_at")
    accounts = f"current_session_id IN (SELECT id FROM whatsapp_sessions WHERE {sessions})"
    _move_back(desk, "whatsapp_accounts", accounts, "status_changed_at")


def _move_back(desk: Desk, table: str, rows: str, *columns: str) -> None:
    moves = ", ".join(f"{column} = {column} - INTERVAL {LONG_AGO} SECOND" for column in columns)
    desk.rows(f"UPDATE {table} SET {moves} WHERE {rows}")


def _statuses_where(desk: Desk, sessions: str) -> Counter[str]:
    accounts = f"current_session_id IN (SELECT id FROM whatsapp_sessions WHERE {sessions})"
    return Counter(dict(desk.rows(f"SELECT status, COUNT(*) FROM whatsapp_accounts WHERE {accounts} GROUP BY status")))


def _codes(desk: Desk) -> int:
    return int(desk.rows("SELECT SUM(qr_count) FROM whatsapp_sessions")[0][0])


def _heard(desk: Desk) -> int:
    return int(desk.rows("SELECT COUNT(*) FROM accounts_bridge WHERE last_heard_at IS NOT NULL")[0][0])
