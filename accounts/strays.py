"""Sessions that a bridge runs and the desk does not know: listed for staff, who adopt or stop them. Nobody else does.

Who else could be there: the next list, a second member of staff, the person whose phone it is.
"""

import re
from collections.abc import Collection, Iterable
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts import bridge_client, bridge_reports, lines, orders, phones
from accounts.bridge_client import BridgeError, ListedAs, Running
from accounts.lifecycle import Status
from accounts.locking import atomically
from accounts.models import Account, BridgeOrder, LinkSession, StraySession, User, Workspace
from accounts.queue import enqueue

Outcome = StraySession.Outcome

FACTS = ("status", "phone_number", "workspace_said")
ADOPTABLE = (ListedAs.CONNECTED, ListedAs.DISCONNECTED)
# What may stand in the path of an order. A bridge may list any text.
ORDERABLE = re.compile(r"[-\w]+", re.ASCII)
# Of one bridge. More than one can run: beyond it somebody makes names up. Those left out come when these are settled.
MOST_OPEN = 1_000
STOP_LEASE = 15  # seconds; above what a command may take (bridge_client)
STOPS_WITHIN = timedelta(minutes=10)  # told with each list until then; if it still runs, staff see it again


class NotPossible(Exception):
    """The text is for staff."""


@atomically
def record(bridge_id: int, unknown: Iterable[Running], *, listed: Collection[str], heartbeat: bool) -> None:
    """Keep what the bridge runs and nobody here knows; settle what is gone. So many queries, however many there are.

    A `heartbeat` says less of them than the list that a bridge is asked for.
    """
    running = {each.session_id: each for each in unknown}
    mine = StraySession.objects.filter(bridge=bridge_id)
    rows = list(mine.select_for_update().filter(Q(settled_at__isnull=True) | Q(session_id__in=running)).order_by("pk"))
    # Under their lock, which `adopt` takes too: what was adopted since this list was compared is unknown no more.
    adopted = [row.session_id for row in rows if row.outcome == Outcome.ADOPTED]
    for known in LinkSession.objects.filter(session_id__in=adopted).values_list("session_id", flat=True):
        running.pop(known, None)
    seen = [row for row in rows if row.session_id in running]
    mine.filter(pk__in=[row.pk for row in seen]).update(last_seen_at=timezone.now())
    changed = [row for row in seen if _take_over(row, running[row.session_id])]
    mine.bulk_update(changed, [*FACTS, "outcome", "settled_at"])
    _settle([row for row in rows if row.session_id not in running], listed=listed)
    kept = {row.session_id for row in seen}
    room = max(0, MOST_OPEN - sum(row.settled_at is None for row in seen))
    new = [each for name, each in running.items() if name not in kept][:room]
    mine.bulk_create(StraySession(bridge_id=bridge_id, session_id=each.session_id, **_facts(each)) for each in new)
    if new:
        _forget(bridge_id)
    # Whose it is stands in its list, if anywhere. Not again because of a list: a bridge that makes up other names each
    # time would be asked without end.
    if heartbeat and not all(each.phone_number and each.workspace_id for each in new):
        enqueue("poll_bridge", bridge_id)
    for row in seen:
        if row.outcome == Outcome.STOPPED:
            enqueue("stop_stray", row.pk)


@atomically
def adopt(stray_id: int, *, workspace_id: int, actor: User) -> LinkSession:
    """Make it a session of the account that has its phone, or of a new one.

    Who it belongs to is what the bridge says of the phone; to which workspace, whoever adopts it. Raises
    NotPossible, and StraySession.DoesNotExist.
    """
    workspace = Workspace.objects.select_for_update().get(pk=workspace_id)
    stray = StraySession.objects.select_for_update().get(pk=stray_id)
    _check(stray, workspace)
    account = _account_for(stray, workspace)
    session = _session_for(stray, account, actor=actor)
    account.current_session = session
    account.touch("current_session")
    reason = f"Adopted: bridge {stray.bridge} runs it, and nobody here knew it."
    account.note(trigger="adopted", session=session, actor=actor, reason=reason)
    StraySession.objects.filter(pk=stray.pk).update(outcome=Outcome.ADOPTED, settled_at=timezone.now())
    if stray.status == ListedAs.CONNECTED:
        bridge_reports.ready(session.pk, phone=stray.phone_number, device_jid="", platform="", trigger="adopted")
    else:
        account.move(Status.AUTHENTICATED, trigger="adopted", session=session, actor=actor)
        bridge_reports.lose(account, session, trigger="adopted", reason="The bridge lists it as not connected.")
        orders.ask(session, BridgeOrder.Why.STAFF)
    return session


def adopt_many(ids: Iterable[int], *, workspace_id: int, actor: User) -> dict[int, str]:
    """What became of each: empty where it was adopted, else why not."""
    return {stray_id: _adopt_safely(stray_id, workspace_id=workspace_id, actor=actor) for stray_id in ids}


@atomically
def stop(stray_id: int) -> None:
    """Stop it at its bridge, soon and until it does. The device stays on the phone. Raises NotPossible."""
    stray = StraySession.objects.select_for_update().get(pk=stray_id)
    _check_orderable(stray)
    stray.outcome, stray.settled_at = Outcome.STOPPED, timezone.now()
    stray.save(update_fields=["outcome", "settled_at"])
    enqueue("stop_stray", stray.pk)


def carry_out_stop(stray_id: int) -> None:
    """Unless it was adopted meanwhile. Where the bridge does not take it, or its line is not free, the next list brings
    it up again: a bridge that hangs keeps no more workers by its strays than by its orders.
    """
    stray = StraySession.objects.select_related("bridge").filter(pk=stray_id, outcome=Outcome.STOPPED).first()
    if stray is None or LinkSession.objects.filter(session_id=stray.session_id).exists():
        return
    with lines.short_turn(stray.bridge, seconds=STOP_LEASE) as is_mine:
        if is_mine:
            _stop(stray)


def _stop(stray: StraySession) -> None:
    try:
        bridge_client.stop(stray.bridge, LinkSession(session_id=stray.session_id), logout=False)
    except BridgeError as error:
        if error.is_the_bridges:
            lines.failed(stray.bridge, str(error))
            return
    lines.answered(stray.bridge)


def _take_over(row: StraySession, said: Running) -> bool:
    """Whether the row is other than it was."""
    before = [getattr(row, name) for name in (*FACTS, "settled_at")]
    for name, value in _facts(said).items():
        setattr(row, name, value or getattr(row, name))  # a heartbeat says less than a list
    is_stopping = row.outcome == Outcome.STOPPED and row.settled_at and row.settled_at > timezone.now() - STOPS_WITHIN
    if not is_stopping:  # it was gone, and is back; or it does not stop
        row.outcome, row.settled_at = "", None
    return before != [getattr(row, name) for name in (*FACTS, "settled_at")]


def _facts(said: Running) -> dict[str, str]:
    """What fits our columns. A phone that is none is not kept."""
    phone = said.phone_number.removeprefix("+")
    return {
        "status": _plain(said.status)[:32],
        "phone_number": phone if phones.E164.fullmatch(phone) else "",
        "workspace_said": _plain(said.workspace_id)[:40],
    }


def _plain(text: str) -> str:
    return text if text.isprintable() else ""


def _settle(rows: list[StraySession], *, listed: Collection[str]) -> None:
    """No longer unknown, or no longer there."""
    for outcome, is_known in ((Outcome.ADOPTED, True), (Outcome.GONE, False)):
        over = [row.pk for row in rows if (row.session_id in listed) == is_known]
        if over:
            mine = StraySession.objects.filter(pk__in=over, settled_at__isnull=True)
            mine.update(outcome=outcome, settled_at=timezone.now())


def _forget(bridge_id: int) -> None:
    """Of those that were gone by themselves only as many are kept: a bridge may name others with every list."""
    gone = StraySession.objects.filter(bridge=bridge_id, outcome=Outcome.GONE)
    for edge in gone.order_by("-pk").values_list("pk", flat=True)[MOST_OPEN : MOST_OPEN + 1]:
        gone.filter(pk__lte=edge).delete()


def _check(stray: StraySession, workspace: Workspace) -> None:
    _check_orderable(stray)
    if stray.status not in ADOPTABLE:
        raise NotPossible(_("It is no link: the bridge lists it as “%s”.") % (stray.status or "?"))
    if not stray.phone_number:
        raise NotPossible(_("The bridge does not say its phone number. Without it nobody knows whose link it is."))
    if not stray.bridge.serves(workspace.pk):
        raise NotPossible(_("Its bridge does not serve this workspace."))
    if LinkSession.objects.filter(session_id=stray.session_id).exists():
        raise NotPossible(_("This session is known here already."))


def _check_orderable(stray: StraySession) -> None:
    if stray.settled_at is not None:
        raise NotPossible(_("It is settled already: %s.") % stray.get_outcome_display())
    if not ORDERABLE.fullmatch(stray.session_id):
        raise NotPossible(_("Its id has characters that cannot stand in an order. Stop it at the bridge itself."))


def _account_for(stray: StraySession, workspace: Workspace) -> Account:
    """Under the workspace's lock: nobody else takes the phone meanwhile."""
    account_id = (
        Account.objects.filter(workspace=workspace, live_phone=stray.phone_number).values_list("pk", flat=True).first()
    )
    if account_id is None:
        return Account.objects.create(workspace=workspace, phone_number=stray.phone_number)
    account = Account.objects.lock(account_id)
    if account.current_session is not None and account.current_session.is_open:
        text = _("The account of this phone has an open session, %s. Reset the account first, or stop this one.")
        raise NotPossible(text % account.current_session.session_id)
    return account


def _session_for(stray: StraySession, account: Account, *, actor: User) -> LinkSession:
    since = stray.first_seen_at  # a link that runs is long past its quiet time
    try:
        with transaction.atomic():
            return LinkSession.objects.create(
                session_id=stray.session_id,
                account=account,
                bridge=stray.bridge,
                started_by=actor,
                started_at=since,
                authenticated_at=since,
                connected_at=since,
            )
    except IntegrityError as error:  # adopted meanwhile where another bridge runs it too
        raise NotPossible(_("This session is known here already.")) from error


def _adopt_safely(stray_id: int, *, workspace_id: int, actor: User) -> str:
    try:
        adopt(stray_id, workspace_id=workspace_id, actor=actor)
    except NotPossible as error:
        return str(error)
    except StraySession.DoesNotExist:
        return _("It is not there any more.")
    return ""
