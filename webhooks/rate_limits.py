"""Each event is charged to a budget. The budget's owner comes from the stored session, never from the body.

The old portal allowed 100 webhooks a minute from an address: it dropped messages, and whole installations with them.
"""

import time
from functools import lru_cache

from django.conf import settings

from accounts.models import LinkSession, Workspace
from api.http import rate_limit
from api.http.errors import ApiError
from api.http.rate_limit import Budget, spend
from webhooks.events.handlers import LIFECYCLE, MESSAGES

COUNTED_EVERY = 10  # seconds for which the number of open sessions is cached
PER_OPEN_SESSION = 10  # lifecycle events: a restart brings two for each session, a flapping one some more


def charge(session: LinkSession, event: str, *, sender_id: int) -> None:
    """Take one from the session's budget for this event. Raises ApiError 429.

    `sender_id` is the bridge that signed it. It need not be the owner: messages of a former owner are kept.
    """
    if not session.is_open:
        return charge_stray(sender_id)
    workspace = session.account.workspace
    if event == "qr_code_generated":
        own = workspace.qr_per_minute or settings.LINKDESK_LIMIT_QR
        return spend(Budget("qr", f"session {session.pk}", own))
    if event in MESSAGES:
        return spend(_of_messages(workspace.pk, workspace.messages_per_minute))
    owner = f"workspace {workspace.pk}"
    if event in LIFECYCLE:
        return spend(Budget("lifecycle", owner, _for_lifecycle(workspace)))
    return spend(Budget("others", owner, workspace.others_per_minute or settings.LINKDESK_LIMIT_OTHERS))


def charge_messages(workspace_id: int, own: int | None, wanted: int) -> tuple[int, ApiError | None]:
    """Take one for each message of open sessions of this workspace, whose own limit a session is `own`.

    Returns how many pass, and the refusal of the others, which the caller counts (`count_refused`).
    """
    return rate_limit.spend_up_to(_of_messages(workspace_id, own), wanted)


def count_refused(workspace_id: int, own: int | None, times: int) -> None:
    if times:
        rate_limit.count_refused(_of_messages(workspace_id, own), times)


def charge_stray(bridge_id: int) -> None:
    """Charge an event of an ended or unknown session to its bridge: no workspace pays for it."""
    spend(Budget("strays", f"bridge {bridge_id}", settings.LINKDESK_LIMIT_OTHERS))


def _of_messages(workspace_id: int, own: int | None) -> Budget:
    each = own or settings.LINKDESK_LIMIT_MESSAGES
    return Budget("messages", f"workspace {workspace_id}", each * max(1, _open_sessions(workspace_id)))


def _for_lifecycle(workspace: Workspace) -> int:
    floor = workspace.lifecycle_per_minute or settings.LINKDESK_LIMIT_LIFECYCLE
    return max(floor, PER_OPEN_SESSION * _open_sessions(workspace.pk))


def _open_sessions(workspace_id: int) -> int:
    return _count_open(workspace_id, int(time.monotonic() / COUNTED_EVERY))


@lru_cache(maxsize=4096)
def _count_open(workspace_id: int, moment: int) -> int:
    """`moment` is part of the cache key, so the number is at most COUNTED_EVERY seconds old."""
    return LinkSession.objects.filter(account__workspace=workspace_id, ended_at__isnull=True).count()


def forget() -> None:
    """Count the open sessions anew."""
    _count_open.cache_clear()
