"""Moving a link to another bridge: to one that holds its session directory, or else by a new pairing there.

Two clients of one login get it logged out, so the new bridge starts it only after the old one has stopped it, or is
down. Each step is one transaction under the session's lock, and the row of the move (`LinkMove`) says which one comes
next: a crash loses nothing but a hint, and `sweep` goes on. From the first step on the new bridge owns the session, and
nothing that the old one says changes a status.
"""

from datetime import timedelta

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.bridges import ownership, presence
from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.jobs.queue import enqueue
from accounts.lifecycle import RECOVER_AFTER, Status
from accounts.models import Account, Bridge, BridgeOrder, LinkMove, LinkSession, User, Workspace
from accounts.orders import outbox
from accounts.pairing import attempts
from accounts.pairing.bridge_events import lock_session

STOPPED_WITHIN = timedelta(seconds=60)  # a bridge that is up carries out a stop within a minute
LOOK_AGAIN = 3  # seconds

Kind, State, Why = BridgeOrder.Kind, BridgeOrder.State, BridgeOrder.Why


class MoveRefused(Exception):
    """`code` is stable and for programs, the text is for people."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@atomically
def move(account_id: int, bridge_id: int, *, actor: User | None, reason: str, has_login: bool) -> LinkSession:
    """Let another bridge run the account's link. `has_login`: it holds the session directory; else a phone must scan.

    Gives the session that will run there. Raises MoveRefused: ACCOUNT_NOT_LINKED, SAME_BRIDGE, MOVE_IN_PROGRESS,
    BRIDGE_NOT_UP, BRIDGE_DRAINING, BRIDGE_FULL, BRIDGE_NOT_SERVING; and without a login what `attempts.start` raises.
    """
    if not has_login:  # pairing locks the workspace first
        workspace_id = Account.objects.values_list("workspace_id", flat=True).get(pk=account_id)
        locks.row(Workspace, pk=workspace_id)
    account = Account.objects.lock(account_id)
    session = _linked_session(account)
    if has_login:  # a pairing locks the bridges before it ends the session
        session = locks.row(LinkSession, pk=session.pk)
    target = Bridge.objects.get(pk=bridge_id)
    _check(target, account=account, session=session)
    if has_login:
        _hand_over(account, session, target, actor=actor, reason=reason)
        return session
    if account.status == Status.CONNECTED:  # a pairing refuses a connected account
        words = f"It is linked anew on {target.name}. {reason}".strip()
        account.move(Status.DISCONNECTED, trigger="move", session=session, actor=actor, reason=words[:500])
    return attempts.start(account.pk, trigger="move", actor=actor, reason=reason, bridge=target)


@atomically
def go_on(session_pk: int) -> None:
    """The second step, once the old bridge has stopped it: start it at the new one, or give the move up."""
    account, session = lock_session(session_pk)
    awaited = ownership.awaited_moves().filter(session=session.pk)
    moving = awaited.select_related("from_bridge", "stop").first()
    if moving is None or not session.is_open:
        return
    old, stopped = moving.from_bridge, moving.stop.state if moving.stop else State.CANCELLED
    if stopped == State.CONFIRMED:
        _start(account, session, moving, seen=f"{old.name} has stopped it.")
    elif not presence.is_up(old):  # its stop goes out when it comes back
        _start(account, session, moving, seen=f"{old.name} is down.")
    elif stopped not in BridgeOrder.UNDER_WAY or timezone.now() - moving.started_at > STOPPED_WITHIN:
        _give_up(account, session, moving)
    else:
        enqueue("continue_move", session.pk, delay=LOOK_AGAIN)


def gives_back(account: Account, session: LinkSession) -> bool:
    """The new bridge shows a QR code for it, so the login is not there: give it back to the old bridge.

    False: it was not moved, or was connected there since, so its login is gone. The caller holds the locks.
    """
    started = session.moves.filter(state=LinkMove.State.STARTED).select_related("from_bridge").order_by("-pk").first()
    if started is None or started.to_bridge_id != session.bridge_id:
        return False
    if account.status != Status.DISCONNECTED or account.status_changed_at > started.state_changed_at:
        return False
    if not started.advance(LinkMove.State.GIVEN_BACK):
        return False
    words = f"it asks for a scan there, so the login is not there. {started.from_bridge.name} has it again."
    _go_back(account, session, started, words=words)
    # Nobody waits for this stop: without a login, nothing that runs there can be a second client.
    outbox.order(session, Kind.STOP, why=Why.RECONCILE, bridge_id=started.to_bridge_id)
    enqueue("recover_bridge", session.bridge_id, delay=LOOK_AGAIN)  # the question to the other is still open
    return True


def sweep() -> int:
    """Go on with the moves whose own task was lost. Gives how many there are."""
    overdue = timezone.now() - ownership.STOP_AWAITED
    _let_lapse(LinkMove.objects.filter(started_at__lte=overdue))
    lost = LinkSession.objects.filter(ended_at__isnull=True, account__status=Status.DISCONNECTED)
    moving = list(lost.filter(ownership.waits_for_stop()).order_by("pk").values_list("pk", flat=True)[:200])
    for pk in moving:
        enqueue("continue_move", pk)
    return len(moving)


def _linked_session(account: Account) -> LinkSession:
    session = account.current_session
    linked = session is not None and session.is_open and session.ever_linked
    if session is None or not linked or account.status not in {Status.CONNECTED, Status.DISCONNECTED}:
        raise MoveRefused("ACCOUNT_NOT_LINKED", _("This account is not linked. Pair it instead."))
    return session


def _check(target: Bridge, *, account: Account, session: LinkSession) -> None:
    running = target.sessions.filter(ended_at__isnull=True).count()
    is_moving = ownership.awaited_moves().filter(session=session.pk).exists()
    refusals = (
        (target.pk == session.bridge_id, "SAME_BRIDGE", _("It is on this bridge already.")),
        (is_moving, "MOVE_IN_PROGRESS", _("It is being moved at the moment. Wait a minute.")),
        (not presence.is_up(target), "BRIDGE_NOT_UP", _("That bridge has not been heard of lately.")),
        (target.is_draining, "BRIDGE_DRAINING", _("That bridge is draining: it takes nothing new.")),
        (running >= target.capacity, "BRIDGE_FULL", _("That bridge is full.")),
        (
            not target.serves(account.workspace_id),
            "BRIDGE_NOT_SERVING",
            _("That bridge does not serve the workspace of this account."),
        ),
    )
    for holds, code, text in refusals:
        if holds:
            raise MoveRefused(code, text)


def _hand_over(account: Account, session: LinkSession, target: Bridge, *, actor: User | None, reason: str) -> None:
    """The first step: make the new bridge the owner, and tell the old one to stop the session."""
    old = session.bridge
    _belong_to(session, target)
    stop = outbox.order(session, Kind.STOP, bridge_id=old.pk, why=Why.MOVE, actor=actor)
    _let_lapse(session.moves.all())  # a move of more than a day ago that no sweep has closed yet
    session.moves.create(from_bridge=old, to_bridge=target, stop=stop, actor=actor, reason=reason[:500])
    enqueue("continue_move", session.pk)
    words = f"It moves from {old.name} to {target.name}: first {old.name} must stop it. {reason}".strip()[:500]
    if account.status == Status.CONNECTED:
        account.move(Status.DISCONNECTED, trigger="move", session=session, actor=actor, reason=words)
    else:
        account.note(trigger="move", session=session, actor=actor, reason=words)
        account.touch()


def _start(account: Account, session: LinkSession, moving: LinkMove, *, seen: str) -> None:
    if not moving.advance(LinkMove.State.STARTED):
        return
    outbox.order(session, Kind.START, why=Why.MOVE, actor=moving.actor)
    enqueue("recover_bridge", session.bridge_id, delay=RECOVER_AFTER + 1)
    account.note(trigger="move", session=session, reason=f"{seen} {session.bridge.name} is told to start it.")
    account.touch()


def _give_up(account: Account, session: LinkSession, moving: LinkMove) -> None:
    if not moving.advance(LinkMove.State.GIVEN_UP):
        return
    words = f"{moving.from_bridge.name} is up and did not say that it has stopped it. It stays there."
    _go_back(account, session, moving, words=words)
    outbox.ask(session, Why.RECOVERY)  # does it still run it? The answer restores the link (rule "Recovery")


def _go_back(account: Account, session: LinkSession, moved: LinkMove, *, words: str) -> None:
    """Make the old bridge the owner again, and take back its stop if that has not gone out."""
    target = session.bridge
    _belong_to(session, moved.from_bridge)
    if moved.stop_id is not None:
        session.orders.filter(pk=moved.stop_id).move([State.PENDING], State.CANCELLED)
    account.note(trigger="move", session=session, reason=f"Not moved to {target.name}: {words}")
    account.touch()


def _let_lapse(moves: QuerySet[LinkMove]) -> None:
    """Close moves whose stop is awaited no longer; one by one, as an update by index could deadlock with `go_on`."""
    for overdue in moves.filter(state=LinkMove.State.WAITS_FOR_STOP):
        overdue.advance(LinkMove.State.LAPSED)


def _belong_to(session: LinkSession, bridge: Bridge) -> None:
    """Make `bridge` the owner. Orders that wait for the former owner are cancelled, and absences there are forgotten.
    So is the rival, which may be the new owner."""
    session.orders.filter(bridge=session.bridge_id).move([State.PENDING], State.CANCELLED)
    session.bridge, session.absent_polls, session.rival_seen_at = bridge, 0, None
    session.save(update_fields=["bridge", "absent_polls", "rival_seen_at"])
