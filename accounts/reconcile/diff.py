"""Compares a bridge's list with the record. Reads only, with two queries however many sessions there are."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import QuerySet
from django.utils import timezone

from accounts.bridges import ownership
from accounts.bridges.client import DOWN, ListedAs, Running
from accounts.lifecycle import PAIRING, PROVEN_AFTER, SOFT_ENDS, Status
from accounts.models import Bridge, LinkSession

SETTLED = 30  # seconds; a status change since then may be newer than the list, or its event still on the way
SOFT_END_SETTLED = 60  # seconds; until then a scan that was under way may take the end back
# Rule "No guess": absent in three lists in a row means absent: several processes behind one address answer in turn.
ABSENT_LISTS = 3
ABSENT_FOR = 60  # seconds; three lists may also come in one
ABSENT_AFTER_START = 2  # lists; a bridge that said it was started anew runs only what it has restored


class Row(NamedTuple):
    """A session and its account, bare: 3,000 model instances cost more than everything else here."""

    pk: int
    session_id: str
    bridge_id: int
    started_at: datetime
    authenticated_at: datetime | None
    connected_at: datetime | None
    last_seen_at: datetime | None
    ended_at: datetime | None
    end_reason: str
    absent_polls: int
    workspace_id: int
    status: str
    status_changed_at: datetime

    @property
    def is_open(self) -> bool:
        return self.ended_at is None

    @property
    def ended_softly(self) -> bool:
        return not self.is_open and self.end_reason in SOFT_ENDS

    @property
    def is_proven(self) -> bool:
        return self.authenticated_at is not None and self.authenticated_at < ago(PROVEN_AFTER)

    def was_seen_since(self, moment: datetime) -> bool:
        return self.last_seen_at is not None and self.last_seen_at > moment

    def is_unseen(self, seconds: float) -> bool:
        return self.last_seen_at is None or self.last_seen_at < ago(seconds)

    @property
    def may_be_taken_back(self) -> bool:
        """It ended softly a moment ago, so a scan may be under way (rule "Soft ends")."""
        settled = self.ended_at is not None and self.ended_at < ago(SOFT_END_SETTLED)
        return self.ended_softly and not settled

    def is_calm(self, seconds: float) -> bool:
        return self.status_changed_at < ago(seconds)


COLUMNS = (*Row._fields[:10], "account__workspace_id", "account__status", "account__status_changed_at")


@dataclass(frozen=True)
class Asked:
    """The bridge that gave the list. `served`: its workspaces; none means all. `down_as`: the words for a lost link."""

    pk: int
    served: Collection[int]
    down_as: Collection[str]

    @classmethod
    def of(cls, bridge: Bridge) -> "Asked":
        # While a client is being restored it is listed as qr_scanning; later on this means that its login is gone.
        down_as = DOWN if is_fresh(bridge) else DOWN | {ListedAs.QR_SCANNING}
        return cls(bridge.pk, set(bridge.workspaces.values_list("pk", flat=True)), down_as)

    def serves(self, row: Row) -> bool:
        return not self.served or row.workspace_id in self.served


@dataclass
class Differences:
    """`absent`: should run and is not listed; `lost`: those of them that are gone for sure. `back`: listed again;
    `back_up`: those of them that are connected.

    `asked_at`: when the bridge was asked for its list. Any event after that is newer.
    """

    asked_at: datetime
    expected: int = 0
    seen: list[Row] = field(default_factory=list)
    back: list[Row] = field(default_factory=list)
    back_up: list[Row] = field(default_factory=list)
    absent: list[Row] = field(default_factory=list)
    lost: list[Row] = field(default_factory=list)
    # Listed as connected, but not connected here: the event was lost. With the phone that the list names.
    up: list[tuple[Row, str]] = field(default_factory=list)
    down: list[Row] = field(default_factory=list)  # connected here, but listed as down
    idle: list[Row] = field(default_factory=list)  # lost here, and listed as down
    ended: list[Row] = field(default_factory=list)  # ended here, and running there
    scanned: list[tuple[Row, Running]] = field(default_factory=list)  # ended softly here, and scanned there
    foreign: list[Row] = field(default_factory=list)  # owned by another bridge
    rivalled: list[Row] = field(default_factory=list)  # foreign, open, with a phone, in a workspace served
    unknown: list[Running] = field(default_factory=list)


def compare(bridge: Bridge, listed: Mapping[str, Running], *, asked_at: datetime) -> Differences:
    """Compare `bridge`, as its row is now, with its complete list. `asked_at`: when it was asked for it."""
    known = _rows(LinkSession.objects.filter(session_id__in=listed))
    expected = _rows(ownership.resumable(bridge.pk))
    asked, found = Asked.of(bridge), Differences(asked_at, expected=len(expected))
    found.unknown = [running for session_id, running in listed.items() if session_id not in known]
    for session_id, row in known.items():
        _place(found, row, listed[session_id], asked)
    found.absent = [row for session_id, row in expected.items() if session_id not in listed]
    found.lost = [row for row in found.absent if _is_lost(row, bridge)]
    return found


def is_fresh(bridge: Bridge) -> bool:
    """The bridge was started anew a short time ago: its old sessions are gone, and it may still be restoring them."""
    return bridge.booted_at is not None and bridge.booted_at > ago(600)


def was_left_behind(row: Row, bridge: Bridge) -> bool:
    """The bridge was started anew a short time ago, and has not shown the session since. One that it has shown since
    did not go with the old process: somebody may have deleted it."""
    return is_fresh(bridge) and bridge.booted_at is not None and not row.was_seen_since(bridge.booted_at)


def _place(found: Differences, row: Row, said: Running, asked: Asked) -> None:
    if row.bridge_id != asked.pk:
        found.foreign.append(row)
        if asked.serves(row) and row.is_open and said.has_phone:
            found.rivalled.append(row)
    elif asked.serves(row) and row.is_open:
        _place_open(found, row, said, asked)
    elif asked.serves(row):
        _place_ended(found, row, said)


def _place_ended(found: Differences, row: Row, said: Running) -> None:
    if row.ended_softly and said.has_phone:
        found.scanned.append((row, said))
    elif not row.may_be_taken_back:
        found.ended.append(row)


def _place_open(found: Differences, row: Row, said: Running, asked: Asked) -> None:
    found.seen.append(row)
    if row.absent_polls:
        found.back.append(row)
        found.back_up += [row] if said.is_connected else []
    if row.is_calm(SETTLED):  # else an event may have overtaken the list
        _place_status(found, row, said, asked)


def _place_status(found: Differences, row: Row, said: Running, asked: Asked) -> None:
    if said.is_connected and _is_news(row, said):
        found.up.append((row, said.phone_number))
    if said.status in asked.down_as and row.status == Status.CONNECTED:
        found.down.append(row)
    if said.status in DOWN and row.status == Status.DISCONNECTED:
        found.idle.append(row)


def _is_news(row: Row, said: Running) -> bool:
    """Whether the record lacks this connection. A first link needs its phone, which decides whose it is."""
    if row.connected_at is None:
        return bool(said.phone_number) and row.status in PAIRING | {Status.DISCONNECTED}
    return row.status == Status.DISCONNECTED


def _is_lost(row: Row, bridge: Bridge) -> bool:
    """Whether it is absent for sure. `absent_polls` does not count this list yet."""
    lists = row.absent_polls + 1
    if lists >= ABSENT_AFTER_START and was_left_behind(row, bridge):
        return True
    # Rule "Quiet time": its socket may be open although the list does not show it, so no second one is opened yet.
    return lists >= ABSENT_LISTS and row.is_unseen(ABSENT_FOR) and row.is_proven and row.is_calm(ABSENT_FOR)


def _rows(sessions: QuerySet[LinkSession]) -> dict[str, Row]:
    """The rows of these sessions, by session id."""
    rows = (Row(*values) for values in sessions.order_by("pk").values_list(*COLUMNS))
    return {row.session_id: row for row in rows}


def ago(seconds: float) -> datetime:
    return timezone.now() - timedelta(seconds=seconds)
