"""Sessions that a bridge runs and the desk does not know: listed for staff, who adopt or stop them. Nobody else does.

Who else could be there: the next list, a second member of staff, the person whose phone it is.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.bridges import circuit_breaker, client
from accounts.bridges.client import BridgeError, Running
from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.jobs.queue import enqueue
from accounts.models import LinkSession, StraySession
from accounts.numbering_plans import identity_key
from accounts.orders import turns

Outcome = StraySession.Outcome
FACTS = ("status", "phone_number", "workspace_said")
# Ids that may stand in the path of an order; a bridge may list any text.
ORDERABLE = re.compile(r"[-\w]+", re.ASCII)
# Per bridge, and more than one can run: beyond it the ids are made up. The rest are kept once these are settled.
MOST_OPEN = 1_000
OWNER_ASKED_FOR = timedelta(minutes=10)  # since it was first seen; a bridge may never say whose it is
STOP_LEASE = 15  # seconds; above what a command may take (bridges/client.py)
STOPS_WITHIN = timedelta(minutes=10)  # told with each list until then; if it still runs, staff see it again


class NotPossible(Exception):
    """The text is for staff."""


@dataclass(frozen=True)
class Compared:
    """A bridge's rows, locked, and the unknown sessions that it runs."""

    rows: list[StraySession]
    running: dict[str, Running]

    @property
    def seen(self) -> list[StraySession]:
        return [row for row in self.rows if row.session_id in self.running]

    @property
    def gone(self) -> list[StraySession]:
        return [row for row in self.rows if row.session_id not in self.running]

    @property
    def new(self) -> list[Running]:
        """The sessions without a row, as many as there is room for."""
        kept = {row.session_id for row in self.seen}
        room = max(0, MOST_OPEN - sum(row.settled_at is None for row in self.seen))
        return [each for name, each in self.running.items() if name not in kept][:room]


@atomically
def record(bridge_id: int, unknown: Iterable[Running], *, listed: Collection[str], heartbeat: bool) -> None:
    """Keep the unknown sessions that the bridge runs, and settle those that are gone. The number of queries is fixed.

    A `heartbeat` says less of them than a polled list does.
    """
    compared = _compare(bridge_id, unknown)
    seen = compared.seen
    mine = StraySession.objects.filter(bridge=bridge_id)
    mine.filter(pk__in=[row.pk for row in seen]).update(last_seen_at=timezone.now())
    changed = [row for row in seen if _take_over(row, compared.running[row.session_id])]
    mine.bulk_update(changed, [*FACTS, "outcome", "settled_at"])
    _settle(compared.gone, listed=listed)
    new = compared.new
    _keep(bridge_id, new)
    if heartbeat:
        _ask_whose(bridge_id, new, seen)
    for row in seen:
        if row.outcome == Outcome.STOPPED:
            enqueue("stop_stray", row.pk)


def _compare(bridge_id: int, unknown: Iterable[Running]) -> Compared:
    running = {each.session_id: each for each in unknown}
    mine = StraySession.objects.filter(bridge=bridge_id)
    rows = locks.rows(mine.filter(Q(settled_at__isnull=True) | Q(session_id__in=running)))
    # Under the rows' lock, which `adopt` takes too: a session adopted since the comparison is no longer unknown.
    adopted = [row.session_id for row in rows if row.outcome == Outcome.ADOPTED]
    known = set(LinkSession.objects.filter(session_id__in=adopted).values_list("session_id", flat=True))
    return Compared(rows, {name: each for name, each in running.items() if name not in known})


def _ask_whose(bridge_id: int, new: Iterable[Running], seen: Iterable[StraySession]) -> None:
    """Poll the bridge: only a polled list may name the owner. It is not compared when it comes during another
    comparison, so each heartbeat asks again. A list causes no further poll: a bridge that makes up new names each time
    would be polled without end."""
    if not (all(each.names_its_owner for each in new) and all(map(_has_said_enough, seen))):
        enqueue("poll_bridge", bridge_id)


def _has_said_enough(row: StraySession) -> bool:
    """Whether its bridge has named its owner, or has had time enough to."""
    return bool(row.phone_number and row.workspace_said) or row.first_seen_at < timezone.now() - OWNER_ASKED_FOR


def _keep(bridge_id: int, new: list[Running]) -> None:
    rows = [StraySession(bridge_id=bridge_id, session_id=each.session_id, **_facts(each)) for each in new]
    StraySession.objects.bulk_create(rows)
    if rows:
        _forget(bridge_id)


@atomically
def stop(stray_id: int) -> None:
    """Stop it at its bridge, soon and until it does. The device stays on the phone. Raises NotPossible."""
    stray = locks.row(StraySession, pk=stray_id)
    check_orderable(stray)
    stray.outcome, stray.settled_at = Outcome.STOPPED, timezone.now()
    stray.save(update_fields=["outcome", "settled_at"])
    enqueue("stop_stray", stray.pk)


def carry_out_stop(stray_id: int) -> None:
    """Stop it, unless it was adopted meanwhile. If the bridge refuses or its slot is not free, the next list leads to
    another try: a bridge that hangs must not hold more workers by unknown sessions than by its orders.
    """
    stray = StraySession.objects.select_related("bridge").filter(pk=stray_id, outcome=Outcome.STOPPED).first()
    if stray is None or LinkSession.objects.filter(session_id=stray.session_id).exists():
        return
    with turns.short_turn(stray.bridge, seconds=STOP_LEASE) as is_mine:
        if is_mine:
            _stop(stray)


def _stop(stray: StraySession) -> None:
    try:
        client.stop(stray.bridge, LinkSession(session_id=stray.session_id), logout=False)
    except BridgeError as error:
        if error.is_the_bridges:
            circuit_breaker.failed(stray.bridge, str(error))
            return
    circuit_breaker.answered(stray.bridge)


def _take_over(row: StraySession, said: Running) -> bool:
    """Take over what the bridge says. Gives whether the row has changed."""
    before = [getattr(row, name) for name in (*FACTS, "settled_at")]
    for name, value in _facts(said).items():
        setattr(row, name, value or getattr(row, name))  # a heartbeat says less than a list
    is_stopping = row.outcome == Outcome.STOPPED and row.settled_at and row.settled_at > timezone.now() - STOPS_WITHIN
    if not is_stopping:  # it was gone, and is back; or it does not stop
        row.outcome, row.settled_at = "", None
    return before != [getattr(row, name) for name in (*FACTS, "settled_at")]


def _facts(said: Running) -> dict[str, str]:
    """The values that fit our columns."""
    return {
        "status": _plain(said.status)[:32],
        "phone_number": said.phone_number,
        "phone_key": identity_key(said.phone_number),
        "workspace_said": _plain(said.workspace_id)[:40],
    }


def _plain(text: str) -> str:
    return text if text.isprintable() else ""


def _settle(rows: list[StraySession], *, listed: Collection[str]) -> None:
    """Settle rows of sessions that are no longer unknown, or no longer listed."""
    for outcome, is_known in ((Outcome.ADOPTED, True), (Outcome.GONE, False)):
        over = [row.pk for row in rows if (row.session_id in listed) == is_known]
        if over:
            mine = StraySession.objects.filter(pk__in=over, settled_at__isnull=True)
            mine.update(outcome=outcome, settled_at=timezone.now())


def _forget(bridge_id: int) -> None:
    """Keep only the newest MOST_OPEN of the rows that are gone: a bridge may list new names each time."""
    gone = StraySession.objects.filter(bridge=bridge_id, outcome=Outcome.GONE)
    for edge in gone.order_by("-pk").values_list("pk", flat=True)[MOST_OPEN : MOST_OPEN + 1]:
        gone.filter(pk__lte=edge).delete()


def check_orderable(stray: StraySession) -> None:
    if stray.settled_at is not None:
        raise NotPossible(_("It is settled already: %s.") % stray.get_outcome_display())
    if not ORDERABLE.fullmatch(stray.session_id):
        raise NotPossible(_("Its id has characters that cannot stand in an order. Stop it at the bridge itself."))
