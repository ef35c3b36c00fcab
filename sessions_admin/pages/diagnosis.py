"""The diagnosis of an account: what is wrong, where the cause lies, what to do, and what happens by itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import failures
from accounts.bridges import in_turn
from accounts.bridges.library_versions import Level, advisory
from accounts.failures import FAILURES, Advice, Failure
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, AccountNotice, LinkSession, User
from accounts.pairing import cooldown
from accounts.reconcile import recovery, run
from accounts.snapshots import Snapshot
from sessions_admin import bridge_display, display
from sessions_admin.pages import account_notices

# The advice for each status while nothing has failed.
STATES: dict[Status, Advice] = {
    Status.INACTIVE: Advice(
        gettext_lazy("Nothing is in progress."),
        gettext_lazy("Invite the person who holds the phone, or order a new QR code."),
    ),
    Status.QR_SCANNING: Advice(
        gettext_lazy("The linking page shows a QR code."), gettext_lazy("Ask the person to scan it with WhatsApp.")
    ),
    Status.ACTION_REQUIRED: Advice(
        gettext_lazy("The phone asks for a confirmation."), gettext_lazy("Ask the person to look at the phone.")
    ),
    Status.AUTHENTICATED: Advice(
        gettext_lazy("The code was scanned; WhatsApp is finishing."),
        gettext_lazy("Wait. A new QR code now would throw the scan away."),
    ),
    Status.CONNECTED: Advice(gettext_lazy("The account is linked and works."), gettext_lazy("Nothing to do.")),
    Status.DISCONNECTED: Advice(
        gettext_lazy("The connection was lost. It is expected to come back by itself."),
        gettext_lazy("Check that the phone is on and online. If it stays away, order a new QR code."),
    ),
    Status.QR_EXPIRED: FAILURES[EndReason.QR_EXPIRED],
    Status.LOGGED_OUT: FAILURES[EndReason.LOGGED_OUT],
    Status.FAILED: Advice(
        gettext_lazy("The last attempt failed."), gettext_lazy("Look at the history below, then order a new QR code.")
    ),
}
OUT_OF_SIGHT = Advice(
    gettext_lazy("The account was linked when its bridge was last heard of."),
    gettext_lazy("Look at the bridge. When it is back, so is the link: nobody has to scan."),
)
NUMBER_UNCLEAR = Advice(
    gettext_lazy("The phone has scanned, but the number that its bridge reports is no phone number of any country."),
    gettext_lazy("Ask the person for the number. If it is the one below, accept it; else reset, and invite again."),
)
WENT_WRONG = {Status.FAILED, Status.QR_EXPIRED, Status.LOGGED_OUT}


@dataclass(frozen=True)
class Diagnosis:
    meaning: str | Promise
    todo: str | Promise
    fault: str | Promise = ""  # where the cause lies; empty while nothing is wrong
    notes: list[str] = field(default_factory=list)  # what else counts, and what happens by itself


def diagnose(account: Account, snapshot: Snapshot, reader: User) -> Diagnosis:
    session, notices = account.current_session, account_notices.current(account)
    said = _advice(account, session, snapshot, notices)
    return Diagnosis(
        meaning=said.meaning,
        todo=said.todo,
        fault=said.fault.label if isinstance(said, Failure) else "",
        notes=[
            *_about_the_number(account),
            *map(account_notices.in_words, notices),
            *_last_refusal(account),
            *(_about_the_bridge(session, reader) + _what_comes_next(account, session, snapshot) if session else []),
        ],
    )


def _advice(
    account: Account, session: LinkSession | None, snapshot: Snapshot, notices: Sequence[AccountNotice]
) -> Advice:
    status = snapshot["status"]
    if session is not None and session.waits_for_its_number:
        return NUMBER_UNCLEAR
    if status == Status.CONNECTED and bridge_display.unreachable(account):
        return OUT_OF_SIGHT
    if noticed := account_notices.advice_for(status, notices):
        return noticed
    if status == Status.DISCONNECTED and (why := _why_lost(session)):
        return why
    return explain(status, snapshot["reason"], session.end_detail if session else "")


def explain(status: Status, reason: str, detail: str = "") -> Advice:
    """Advise by the reason of the end if something failed, else by the status. `detail` is the bridge's own word."""
    if status not in WENT_WRONG or reason not in EndReason.values:
        return STATES[status]
    return failures.of_end(EndReason(reason), detail)


def _last_refusal(account: Account) -> list[str]:
    """Why the last start was refused, until another one begins."""
    if account.refused_at is None or account.refused_at < account.status_changed_at:
        return []
    text = _("No bridge could take a start %(time)s ago: %(why)s.")
    return [text % {"time": display.since(account.refused_at), "why": account.get_refused_because_display()}]


def _why_lost(session: LinkSession | None) -> Failure | None:
    told = failures.of(session.lost_reason if session else "")
    return None if told is failures.UNKNOWN else told


def _about_the_number(account: Account) -> list[str]:
    """What waits for a decision of staff; the account works meanwhile (accounts/pairing/number_decisions.py)."""
    notes = []
    if account.new_phone:
        text = _(
            "The phone reports another number than before, %(phone)s, and works. Take the new number if it is right."
        )
        notes.append(text % {"phone": display.phone(account.new_phone)})
    if account.twin_of is not None:
        text = _("%(account)s has the same phone. Merge the two, or correct a number.")
        notes.append(text % {"account": account.twin_of})
    for twin in account.twins.live():
        text = _("%(account)s has the same phone. Open it to merge the two.")
        notes.append(text % {"account": twin})
    return notes


def _about_the_bridge(session: LinkSession, reader: User) -> list[str]:
    """Whether it is up; what its library is known for is told only to those who see all workspaces."""
    bridge, notes = session.bridge, []
    if session.is_open and bridge_display.is_down(bridge):
        silent = display.since(bridge.last_heard_at)
        text = _("Its bridge, %(bridge)s, has been silent for %(time)s. The status is the last that was known.")
        notes.append(text % {"bridge": bridge, "time": silent})
    known = advisory(bridge.library, bridge.version)
    if reader.sees_all and known is not None and known.level == Level.BAD:
        text = _("Its bridge, %(bridge)s, runs a version that is known to fail: %(meaning)s")
        notes.append(text % {"bridge": bridge, "meaning": known.meaning})
    return notes


def _what_comes_next(account: Account, session: LinkSession, snapshot: Snapshot) -> list[str]:
    notes = []
    if place := snapshot["place"]:
        notes.append(_("It waits for its turn on the bridge: place %(place)d in line.") % {"place": place})
    if snapshot["status"] == Status.CONNECTED and not session.is_proven:
        notes.append(_("Linked, but not proven for two minutes yet: until then the phone may throw the device out."))
    if (try_at := recovery.next_try(account)) is not None:
        notes.append(_next_try(try_at))
    elif snapshot["status"] == Status.DISCONNECTED:
        notes += _why_not_tried(session)
    if not session.is_open and (waits := cooldown.cooldown_left(account)):
        text = _("Too many scans have failed within an hour. The next start is allowed in %(time)s.")
        notes.append(text % {"time": display.duration(waits)})
    return notes


def _why_not_tried(session: LinkSession) -> list[str]:
    if run.is_observing():
        return [_("This desk only observes (LINKDESK_RECONCILE): it does nothing to bring it back.")]
    if in_turn.is_known(session.bridge_id):
        text = _(
            "Several processes answer for its bridge, %(bridge)s. It is opened again when a poll has heard all of them."
        )
        return [text % {"bridge": session.bridge}]
    return []


def _next_try(at: datetime) -> str:
    seconds = int((at - timezone.now()).total_seconds())
    if seconds <= 0:
        return _("It waits for its turn to be connected again.")
    return _("The next try to connect it comes in %(time)s.") % {"time": display.duration(seconds)}
