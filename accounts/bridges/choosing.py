"""Chooses the bridge for a new session, and tells why another may not have it."""

from collections import Counter
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.db.models import Exists, Func, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.bridges import in_turn, presence
from accounts.bridges.library_versions import Level, advisory
from accounts.lifecycle import PAIRING, SCANNABLE_ENDS, EndReason
from accounts.models import Bridge, BridgeOrder, LinkSession, Workspace
from accounts.models.bridge import Obstacle

LEAVES_WITHIN = timedelta(minutes=2)  # after this a stop that is not carried out no longer takes a place
TRIED_AGAIN_AFTER = timedelta(minutes=10)  # other bridges come first for so long after an attempt without a code


class NoBridgeAvailable(Exception):
    """None of the bridges that serve this workspace may take a new session. `obstacles`: the first of each of them."""

    def __init__(self, obstacles: Collection[Obstacle]) -> None:
        super().__init__(", ".join(obstacles))
        self.counts = Counter(obstacles)

    @property
    def reason(self) -> Obstacle:
        """The obstacle that all of them have, or that there are several."""
        if not self.counts:
            return Obstacle.NO_BRIDGE
        return next(iter(self.counts)) if len(self.counts) == 1 else Obstacle.SEVERAL

    def in_words(self) -> str:
        """In the reader's language."""
        each = ", ".join(f"{obstacle.label}: {count}" for obstacle, count in self.counts.items())
        return str(OF_ALL[self.reason]) % {"each": each}


# The text of a refusal if all bridges have the same obstacle; SEVERAL is for different ones.
OF_ALL: dict[Obstacle, str | Promise] = {
    Obstacle.NO_BRIDGE: gettext_lazy("No bridge serves this workspace. Our support must register one."),
    Obstacle.NEVER_HEARD: gettext_lazy("No bridge has been heard of yet. Our support must start one."),
    Obstacle.SILENT: gettext_lazy("No bridge has been heard of lately. Try again in some minutes."),
    Obstacle.DRAINING: gettext_lazy("All bridges are draining: they take nothing new. Try again later."),
    Obstacle.LEAVING: gettext_lazy("All bridges are shutting down. Try again in a minute."),
    Obstacle.NO_WEIGHT: gettext_lazy("No bridge is meant for new links: all have the weight 0."),
    Obstacle.BAD_VERSION: gettext_lazy(
        "All versions are known to be bad: the bridges' software must be updated first."
    ),
    Obstacle.FULL: gettext_lazy("Everything is busy at the moment: all bridges are full. Try again in half a minute."),
    Obstacle.SEVERAL: gettext_lazy("No bridge takes a new link at the moment. %(each)s."),
}


def choose(workspace: Workspace) -> Bridge:
    """The least loaded bridge, by weight, of those that may take one more session of this workspace.

    A bridge where attempts wait in line comes after those where none does, and one of several processes after both.
    One that does not carry out our orders comes last, for its failures make it look idle. Raises NoBridgeAvailable.
    """
    found = _with_obstacles(workspace)
    chosen = min((bridge for bridge, barred in found if not barred), key=preference, default=None)
    if chosen is None:
        raise NoBridgeAvailable([barred[0] for _bridge, barred in found])
    return chosen


def eligible(workspace: Workspace) -> list[Bridge]:
    """The bridges that may take one more session of this workspace."""
    return [bridge for bridge, barred in _with_obstacles(workspace) if not barred]


def _with_obstacles(workspace: Workspace) -> list[tuple[Bridge, list[Obstacle]]]:
    """One query, however many bridges there are."""
    return [(bridge, obstacles(bridge)) for bridge in with_load(serving(workspace))]


def serving(workspace: Workspace) -> QuerySet[Bridge]:
    return Bridge.objects.filter(Q(workspaces=workspace) | Q(workspaces__isnull=True))


def with_load(bridges: QuerySet[Bridge]) -> QuerySet[Bridge]:
    """Annotate how many sessions run, pair and wait in line at each bridge, and whether it gave no code."""
    mine = LinkSession.objects.filter(bridge=OuterRef("pk"), ended_at__isnull=True)
    return bridges.annotate(
        running=count_of(mine),
        pairing=count_of(
            mine.filter(admitted_at__isnull=False, number_unclear_at__isnull=True, account__status__in=PAIRING)
        )
        + count_of(leaving().filter(bridge=OuterRef("pk"))),
        waiting=count_of(mine.filter(admitted_at__isnull=True)),
        gave_no_code=gave_no_code(),
        is_several=in_turn.are_known(),
    )


def leaving() -> QuerySet[LinkSession]:
    """Sessions that ended softly and still take a place at their bridge, until they are stopped (rule "Soft ends")."""
    stops = BridgeOrder.objects.filter(session=OuterRef("pk"), bridge=OuterRef("bridge"), kind=BridgeOrder.Kind.STOP)
    lately = timezone.now() - LEAVES_WITHIN
    ended = LinkSession.objects.filter(end_reason__in=SCANNABLE_ENDS, ended_at__gt=lately)
    return ended.filter(Exists(stops.filter(state__in=BridgeOrder.UNDER_WAY)))


def count_of(sessions: QuerySet[LinkSession]) -> Subquery:
    """Count, to annotate bridges with, sessions that are filtered by `bridge=OuterRef("pk")`."""
    count = Func("pk", function="COUNT", output_field=IntegerField())  # `Count` would group, and give no row for none
    return Subquery(sessions.order_by().annotate(count=count).values("count"))


def why_not(bridge: Bridge) -> list[str]:
    """Why the bridge gets no new session, in the reader's language; empty: it may get one."""
    return [_in_words(obstacle, bridge) for obstacle in obstacles(bridge)]


def obstacles(bridge: Bridge) -> list[Obstacle]:
    """Why the bridge gets no new session, what others must mend first; empty: it may get one.

    For a bridge that does not come from `with_load` the sessions are counted here.
    """
    advice = advisory(bridge.library, bridge.version)
    reasons = (
        (bridge.last_heard_at is None, Obstacle.NEVER_HEARD),
        (bridge.last_heard_at is not None and not presence.is_up(bridge), Obstacle.SILENT),
        (bridge.draining, Obstacle.DRAINING),
        (bridge.says_draining, Obstacle.LEAVING),
        (bridge.weight == 0, Obstacle.NO_WEIGHT),
        (advice is not None and advice.level == Level.BAD, Obstacle.BAD_VERSION),
        (_running(bridge) >= bridge.capacity, Obstacle.FULL),
    )
    return [obstacle for holds, obstacle in reasons if holds]


def _running(bridge: Bridge) -> int:
    counted: int | None = getattr(bridge, "running", None)
    return bridge.sessions.filter(ended_at__isnull=True).count() if counted is None else counted


def _in_words(obstacle: Obstacle, bridge: Bridge) -> str:
    """The obstacle's name, with numbers where it has some."""
    if obstacle == Obstacle.SILENT and bridge.last_heard_at is not None:
        return _("not heard of for %(time)s") % {"time": timesince(bridge.last_heard_at, depth=1)}
    if obstacle == Obstacle.FULL:
        return _("full: %(running)d of %(capacity)d") % {"running": _running(bridge), "capacity": bridge.capacity}
    return str(obstacle.label)


def preference(bridge: Any) -> tuple[bool, bool, bool, float, int]:
    """A sort key for an eligible bridge from `with_load`; the smallest is the best."""
    failing = bridge.failing_since is not None or bridge.gave_no_code
    has_line = bridge.waiting > 0 or bridge.pairing >= bridge.pairings_at_once
    return failing, bridge.is_several, has_line, bridge.running / bridge.weight, bridge.pk


def gave_no_code() -> Exists:
    """An annotation for bridges: whether an attempt of the last minutes got no code there, nor did any later one.

    A bridge may be up and yet unable to pair. Attempts that still waited in line do not count: nothing was ordered.
    """
    mine = LinkSession.objects.filter(bridge=OuterRef("pk"), ended_at__gt=timezone.now() - TRIED_AGAIN_AFTER)
    failed = mine.filter(end_reason=EndReason.BRIDGE_UNAVAILABLE, admitted_at__isnull=False)
    shown = LinkSession.objects.filter(bridge=OuterRef("bridge"), first_qr_at__gt=OuterRef("ended_at"))
    return Exists(failed.filter(~Exists(shown)))
