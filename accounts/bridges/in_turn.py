"""Several processes behind one address, as PM2's cluster mode makes them: each connection goes to the next process, and
each process knows only its own sessions.

What concerns all of them is asked or told so often in a row that each has had its turn. That is proven when a full
further round has brought nothing new; where it is not, an absence proves nothing.
"""

import itertools
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Generic, TypeVar

from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from accounts.bridges import client, health, ownership
from accounts.bridges.client import BridgeError, ListedAs, Running
from accounts.bridges.presence import UP_WITHIN
from accounts.models import Bridge, BridgeSecret, Incident, LinkSession

T = TypeVar("T")

A_FEW, MOST = 16, 64  # connections: where nothing speaks for several processes, and where something does
FEWEST = 4  # answers without anything new that a row must end with, however few processes were seen
WITHIN = 8.0  # seconds for a row: an order holds its bridge's turn meanwhile, and a command follows
COUNTED_WITHIN = 4.0
NOT_FOUND = 404
LIVELIEST = (ListedAs.CONNECTED, ListedAs.AUTHENTICATED, ListedAs.QR_SCANNING)
Lists = Sequence[dict[str, Running]]


def are_known() -> Exists:
    """A filter and annotation for bridges: whether one is known to run as several processes."""
    told = Incident.objects.filter(kind=Incident.Kind.ALTERNATING, closed_at__isnull=True)
    return Exists(told.filter(bridge=OuterRef("pk")))


def is_known(bridge_id: int) -> bool:
    """Whether this bridge is."""
    return Bridge.objects.filter(are_known(), pk=bridge_id).exists()


def that_share_an_address() -> QuerySet[Bridge]:
    """Bridges of several processes that send no heartbeats: each process restores the links of all when it starts."""
    lately = timezone.now() - timedelta(seconds=UP_WITHIN)
    return Bridge.objects.filter(are_known()).exclude(last_heartbeat_at__gt=lately)


@dataclass
class Row(Generic[T]):
    """Answers of one row. `failed`: how many connections brought none."""

    answers: list[T] = field(default_factory=list)
    failed: int = 0

    def __len__(self) -> int:
        return len(self.answers) + self.failed


@dataclass(frozen=True)
class Heard:
    """The lists of one row. `processes`: how many are told apart by their /health."""

    lists: Lists
    failed: int = 0
    processes: int = 1

    @property
    def listed(self) -> dict[str, Running]:
        return merged(self.lists)

    @property
    def is_all(self) -> bool:
        """Whether no process is missing: a full round has named nothing new at the end, and so few answers failed that
        no process can have failed each time."""
        seen = max(self.processes, len({frozenset(listed) for listed in self.lists}))
        fails_always = 2 * self.failed * (seen + 1) >= len(self.lists) + self.failed
        return self._quiet >= max(FEWEST, seen) and not fails_always

    @property
    def _quiet(self) -> int:
        """How many lists at the end name nothing that those before them had not named."""
        named: set[str] = set()
        quiet = 0
        for listed in self.lists:
            quiet = quiet + 1 if listed.keys() <= named else 0
            named |= listed.keys()
        return quiet


def ask(
    question: Callable[[], T], *, is_enough: Callable[[Sequence[T]], bool], within: float, first: Sequence[T] = ()
) -> Row[T]:
    """Ask in a row until it is enough. An answer that fails is left out, unless most of them do: that raises its
    BridgeError. `first`: what was answered already."""
    give_up, row = time.monotonic() + within, Row([*first])
    while len(row) < MOST and (not len(row) or time.monotonic() < give_up):
        try:
            row.answers.append(question())
        except BridgeError:
            row.failed += 1
            if row.failed > len(row.answers):
                raise
        if is_enough(row.answers):
            break
    return row


def hear_all(
    bridge: Bridge,
    *,
    within: float,
    first: Lists = (),
    processes: int = 1,
    is_enough: Callable[[Lists], bool] = lambda _lists: False,
) -> Heard:
    """Ask for the list so often that each process has its turn, and fewer times where more could tell nothing. Raises
    BridgeError.

    `first`: what it has answered already; `is_enough`: whether the question is answered before that.
    """
    due, known = set(ownership.resumable(bridge.pk).values_list("session_id", flat=True)), is_known(bridge.pk)
    several, keys = known or processes > 1, bridge.secrets(BridgeSecret.Kind.API_KEY)

    def are_enough(lists: Lists) -> bool:
        return is_enough(lists) or (len(lists) >= A_FEW and _nothing_speaks_against(lists, due, several=several))

    row = ask(lambda: client.running_sessions(bridge, keys=keys), is_enough=are_enough, within=within, first=first)
    return Heard(row.answers, row.failed, processes)


def merged(lists: Iterable[dict[str, Running]]) -> dict[str, Running]:
    """All that these lists name. Where two name one session, the one whose client is further on counts."""
    whole: dict[str, Running] = {}
    for listed in lists:
        for session_id, running in listed.items():
            whole[session_id] = min(whole.get(session_id, running), running, key=_liveliness)
    return whole


def find(bridge: Bridge, session_id: str) -> Running | None:
    """The session as the bridge lists it. None: no process runs it. Raises BridgeError, also where that is not proven.

    The first list that names it is enough, unless several processes are known: then one may list what is left of it,
    and another may run it.
    """
    several = is_known(bridge.pk)

    def is_there(lists: Lists) -> bool:
        found = lists[-1].get(session_id) if lists else None
        return found is not None and (found.has_begun or not several)

    heard = hear_all(bridge, within=WITHIN, is_enough=is_there)
    if not is_there(heard.lists) and not heard.is_all:
        raise BridgeError("it is too slow to ask all of its processes")
    return heard.listed.get(session_id)


def stop(bridge: Bridge, session: LinkSession, *, logout: bool) -> None:
    """Stop the session; where several processes are known, at each of them. Raises BridgeError.

    A process that does not run it answers that it is not there, which does no harm.
    """
    if not is_known(bridge.pk):
        client.stop(bridge, session, logout=logout)
        return
    least, enough = _rounds(bridge)
    told = ask(
        lambda: _stop_here(bridge, session, logout=logout),
        is_enough=lambda answers: len(answers) >= enough,
        within=WITHIN,
    )
    if len(told.answers) < least:
        raise BridgeError("it is too slow to tell all of its processes")


def start_alone(bridge: Bridge, session: LinkSession) -> None:
    """Open a link at one of several processes, after it was stopped at each: what is left of it must not run beside it.

    Its login stays on disk, which they share. Raises BridgeError.
    """
    try:
        stop(bridge, session, logout=False)
    except BridgeError as error:  # the start has not gone out yet, so the failure is not unclear
        raise BridgeError(f"stopping it before: {error}", code=error.code) from error
    client.start(bridge, session)


def _nothing_speaks_against(lists: Lists, due: Collection[str], *, several: bool) -> bool:
    """Whether a further list could tell nothing: all that should run is listed as such; or, where several processes are
    not known, the lists are those of one, and miss one link at the most."""
    whole = merged(lists)
    missing = [name for name in due if name not in whole or not whole[name].has_begun]
    agree = all(one.keys() == other.keys() for one, other in itertools.pairwise(lists))
    return not missing if several else agree and len(missing) <= 1


def _rounds(bridge: Bridge) -> tuple[int, int]:
    """How often all processes must at least be told something, and how often is enough: two rounds of those that
    /health tells apart. Where their number is not certain, 16 times at the least."""

    def are_one(healths: Sequence[health.Health]) -> bool:
        return len(healths) >= A_FEW and health.told_apart(healths) == 1

    healths = ask(
        lambda: health.ask(bridge),
        is_enough=lambda answers: _are_counted(answers) or are_one(answers),
        within=COUNTED_WITHIN,
    ).answers
    two_rounds = 2 * health.told_apart(healths)
    least = max(FEWEST if _are_counted(healths) else A_FEW, two_rounds)
    return min(least, MOST), min(max(A_FEW, two_rounds), MOST)


def _are_counted(healths: Sequence[health.Health]) -> bool:
    """Whether several processes are told apart, and a full further round has shown no other."""
    count = health.told_apart(healths)
    return count > 1 and health.told_apart(healths[: -max(FEWEST, count)]) == count


def _stop_here(bridge: Bridge, session: LinkSession, *, logout: bool) -> None:
    try:
        client.stop(bridge, session, logout=logout)
    except BridgeError as error:
        if error.code != NOT_FOUND:
            raise


def _liveliness(running: Running) -> int:
    return LIVELIEST.index(running.status) if running.status in LIVELIEST else len(LIVELIEST)
