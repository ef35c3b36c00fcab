"""Health of the parts that linking needs, read from the tables and not from a process that may be gone."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.models import Count, Min, OuterRef
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from accounts.bridges import choosing, presence
from accounts.bridges.library_versions import Level, advisory
from accounts.db.system_checks import pending_migrations
from accounts.lifecycle import PAIRING
from accounts.models import Bridge, LinkSession, Pulse, Workspace
from api.http.errors import envelope
from api.serializers import WORKER_STATES

# Jobs run each minute and the cluster looks at them every 30 s: a job that is later than both together is late.
WORKER_LATE_AFTER = 90  # seconds
WORKER_STUCK_AFTER = 30  # seconds; its watchdog asks every 5 s

_migrated = False


class LaneState(TypedDict):
    lane: str
    state: str
    seconds_silent: int | None
    seconds_late: int
    waiting: int


class WorkerState(TypedDict):
    state: str
    seconds_late: int
    waiting: int
    lanes: list[LaneState]


class BridgeRow(TypedDict):
    name: str
    state: str
    library: str
    version: str
    advisory: str
    draining: bool
    has_room: bool
    active_sessions: int
    last_heard_at: datetime | None


class Parts(TypedDict):
    pairing_active: bool
    database: str
    cache: str
    worker: WorkerState
    bridges: list[BridgeRow]


@dataclass(frozen=True)
class Health:
    parts: Parts
    missing: list[str]  # what linking needs and does not have, in plain words


def examine(workspace: Workspace) -> Health:
    parts = Parts(
        pairing_active=workspace.accounts.live().filter(status__in=PAIRING).exists(),
        database="up",  # while it is down, the only answer is BUSY
        cache=cache_state(),
        worker=worker_state(),
        bridges=bridges_of(workspace),
    )
    checks = {
        "Redis does not answer.": parts["cache"] != "down",
        _no_worker(parts["worker"]["lanes"]): parts["worker"]["state"] == "up",
        "No bridge may take a session.": any(bridge["has_room"] for bridge in parts["bridges"]),
    }
    return Health(parts, [text for text, holds in checks.items() if not holds])


def _no_worker(lanes: list[LaneState]) -> str:
    down = (f"{lane['lane']}: {lane['state']}" for lane in lanes if lane["state"] != "up")
    return f"No worker takes tasks ({', '.join(down)})."


def worker_state() -> WorkerState:
    """Return the state of all lanes, as bad as the worst. A cluster's own report is in a cache that we may not see."""
    lanes = [_lane(key) for key in sorted(set(settings.LINKDESK_LANES.values()))]
    return WorkerState(
        state=max((lane["state"] for lane in lanes), key=WORKER_STATES.index),
        seconds_late=max(lane["seconds_late"] for lane in lanes),
        waiting=sum(lane["waiting"] for lane in lanes),
        lanes=lanes,
    )


def _lane(key: str) -> LaneState:
    now = timezone.now()
    due = OrmQ.objects.filter(key=key, lock__lte=now).aggregate(oldest=Min("lock"), waiting=Count("pk"))
    next_run = Schedule.objects.filter(cluster=key).exclude(repeats=0).aggregate(oldest=Min("next_run"))["oldest"]
    late = max(0, *((now - moment).total_seconds() for moment in (due["oldest"], next_run) if moment), 0)
    answered = Pulse.objects.filter(lane=key, answered_at__isnull=False).values_list("answered_at", flat=True).first()
    silent = None if answered is None else int((now - answered).total_seconds())
    state = _state(silent, late=late)
    return LaneState(lane=key, state=state, seconds_silent=silent, seconds_late=int(late), waiting=due["waiting"])


def _state(silent: int | None, *, late: float) -> str:
    if silent is None:
        return "never_started"
    if silent > WORKER_STUCK_AFTER:
        return "stuck"
    return "late" if late > WORKER_LATE_AFTER else "up"


def bridges_of(workspace: Workspace) -> list[BridgeRow]:
    """Return the bridges that serve the workspace. How much other workspaces use them is not told."""
    ours = LinkSession.objects.filter(bridge=OuterRef("pk"), ended_at__isnull=True, account__workspace=workspace)
    bridges = choosing.with_load(choosing.serving(workspace)).annotate(ours=choosing.count_of(ours))
    return [_row(bridge) for bridge in bridges.order_by("pk")]


def _row(bridge: Bridge) -> BridgeRow:
    ours: int = bridge.ours  # type: ignore[attr-defined]  # annotated
    return BridgeRow(
        name=bridge.name,
        state=_heard(bridge),
        library=bridge.library,
        version=bridge.version,
        advisory=_advisory(bridge),
        draining=bridge.draining,
        has_room=not choosing.why_not(bridge),
        active_sessions=ours,
        last_heard_at=bridge.last_heard_at,
    )


def _heard(bridge: Bridge) -> str:
    if bridge.last_heard_at is None:
        return "never_heard"
    return "heard" if presence.is_up(bridge) else "silent"


def _advisory(bridge: Bridge) -> str:
    """Return the level of the library's advisory; a version that is known to be good has none."""
    known = advisory(bridge.library, bridge.version)
    return str(known.level) if known and known.level != Level.GOOD else ""


def cache_state() -> str:
    if not settings.REDIS_URL:
        return "in_process"
    from redis import RedisError  # not at the top: it takes a tenth of a second, and workers do not need it

    try:
        cache.get("health")
    except (RedisError, OSError):
        return "down"
    return "up"


def healthz(request: HttpRequest) -> JsonResponse:
    """The process lives. Nothing else is checked: a database that is down is no reason to restart the web process."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """The process can serve. A database without its migrations cannot; once they are there, they stay."""
    global _migrated
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        _migrated = _migrated or not pending_migrations(connection)
    except Exception as error:  # whatever it is, no request can be served
        return _not_ready(f"The database does not answer ({type(error).__name__}).")
    return JsonResponse({"status": "ok"}) if _migrated else _not_ready("Migrations are not applied.")


def _not_ready(text: str) -> JsonResponse:
    return JsonResponse(envelope("NOT_READY", text), status=503)
