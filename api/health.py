"""Whether the parts that linking needs are there, as seen from the tables and not from a process that may be gone."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.models import Count, F, Min, Q
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from redis import RedisError

from accounts.checks import pending_migrations
from accounts.lifecycle import PAIRING
from accounts.models import Bridge, Workspace
from api.errors import envelope

# Jobs run each minute, the cluster looks at them every 30 s: an hour hand that is later than both has stopped.
WORKER_LATE_AFTER = 90  # seconds
BRIDGE_SILENT_AFTER = 300  # seconds; a Node bridge says nothing while nothing happens

_migrated = False


class WorkerState(TypedDict):
    state: str
    seconds_late: int
    waiting: int


class BridgeRow(TypedDict):
    name: str
    state: str
    library: str
    version: str
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
        database="up",  # or there is no answer but BUSY
        cache=cache_state(),
        worker=worker_state(),
        bridges=bridges_of(workspace),
    )
    checks = {
        "Redis does not answer.": parts["cache"] != "down",
        "No worker takes tasks.": parts["worker"]["state"] == "up",
        # A silent one may be idle: only an order shows whether it still answers.
        "No bridge may take a session.": any(bridge["has_room"] for bridge in parts["bridges"]),
    }
    return Health(parts, [text for text, holds in checks.items() if not holds])


def worker_state() -> WorkerState:
    """From what is overdue: a cluster's own report lies in a cache that another process may not see."""
    now = timezone.now()
    due = OrmQ.objects.filter(lock__lte=now).aggregate(oldest=Min("lock"), waiting=Count("pk"))
    next_run = Schedule.objects.exclude(repeats=0).aggregate(oldest=Min("next_run"))["oldest"]
    overdue = [(now - moment).total_seconds() for moment in (due["oldest"], next_run) if moment]
    late = max(0, *overdue, 0)
    state = "late" if late > WORKER_LATE_AFTER else "up"
    return WorkerState(state=state, seconds_late=int(late), waiting=due["waiting"])


def bridges_of(workspace: Workspace) -> list[BridgeRow]:
    """Those that serve the workspace. How much others use them is not said."""
    serving = Bridge.objects.filter(Q(workspaces=workspace) | Q(workspaces__isnull=True))
    is_open = Q(sessions__ended_at__isnull=True)
    counted = serving.annotate(
        running=Count("sessions", filter=is_open, distinct=True),
        ours=Count("sessions", filter=is_open & Q(sessions__account__workspace=workspace), distinct=True),
    )
    takes = {"draining": False, "weight__gt": 0, "running__lt": F("capacity")}  # as accounts.fleet chooses
    roomy = set(counted.filter(**takes).values_list("pk", flat=True))
    return [_row(bridge, has_room=bridge.pk in roomy) for bridge in counted.order_by("pk")]


def _row(bridge: Bridge, *, has_room: bool) -> BridgeRow:
    ours: int = bridge.ours  # type: ignore[attr-defined]  # annotated
    return BridgeRow(
        name=bridge.name,
        state=_heard(bridge.last_heard_at),
        library=bridge.library,
        version=bridge.version,
        draining=bridge.draining,
        has_room=has_room,
        active_sessions=ours,
        last_heard_at=bridge.last_heard_at,
    )


def _heard(at: datetime | None) -> str:
    if at is None:
        return "never_heard"
    return "silent" if at < timezone.now() - timedelta(seconds=BRIDGE_SILENT_AFTER) else "heard"


def cache_state() -> str:
    if not settings.REDIS_URL:
        return "in_process"
    try:
        cache.get("health")
    except (RedisError, OSError):
        return "down"
    return "up"


def healthz(request: HttpRequest) -> JsonResponse:
    """The process lives. It asks nobody: a database that is down is no reason to restart the web process."""
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
