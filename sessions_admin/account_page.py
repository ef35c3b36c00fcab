"""What the page of an account says above its form: what is wrong, what to do, and what happened."""

from dataclasses import dataclass
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import snapshots
from accounts.failures import FAILURES, Failure
from accounts.lifecycle import EndReason, Status
from accounts.models import Account, BridgeOrder, LinkSession, Transition
from sessions_admin import cells

NEWEST = 12  # rows of each table; the links lead to all of them

# What there is to say and do while nothing has failed.
STATES: dict[Status, Failure] = {
    Status.INACTIVE: Failure(
        gettext_lazy("Nothing is in progress."),
        gettext_lazy("Invite the person who holds the phone, or order a new QR code."),
    ),
    Status.QR_SCANNING: Failure(
        gettext_lazy("The linking page shows a QR code."), gettext_lazy("Ask the person to scan it with WhatsApp.")
    ),
    Status.ACTION_REQUIRED: Failure(
        gettext_lazy("The phone asks for a confirmation."), gettext_lazy("Ask the person to look at the phone.")
    ),
    Status.AUTHENTICATED: Failure(
        gettext_lazy("The code was scanned; WhatsApp is finishing."),
        gettext_lazy("Wait. A new QR code now would throw the scan away."),
    ),
    Status.CONNECTED: Failure(gettext_lazy("The account is linked and works."), gettext_lazy("Nothing to do.")),
    Status.DISCONNECTED: Failure(
        gettext_lazy("The connection was lost. It is expected to come back by itself."),
        gettext_lazy("Check that the phone is on and online. If it stays away, order a new QR code."),
    ),
    Status.QR_EXPIRED: FAILURES[EndReason.QR_EXPIRED],
    Status.LOGGED_OUT: FAILURES[EndReason.LOGGED_OUT],
    Status.FAILED: Failure(
        gettext_lazy("The last attempt failed."), gettext_lazy("Look at the history below, then order a new QR code.")
    ),
}
WENT_WRONG = {Status.FAILED, Status.QR_EXPIRED, Status.LOGGED_OUT}


@dataclass(frozen=True)
class Link:
    text: str
    url: str


@dataclass(frozen=True)
class Entry:
    """A line of the timeline."""

    at: str
    old: SafeString | None  # None: the status stayed as it was
    new: SafeString
    trigger: str
    actor: str
    reason: str


@dataclass(frozen=True)
class SessionLine:
    link: Link
    bridge: str
    started: str
    qr_codes: int
    scanned: SafeString | str
    connected: SafeString | str
    ended: SafeString | str
    why: str


@dataclass(frozen=True)
class OrderLine:
    link: Link
    kind: str
    state: SafeString
    tries: int
    made: str
    problem: str


@dataclass(frozen=True)
class AccountPage:
    status: SafeString
    tone: str
    since: SafeString | str
    meaning: str | Promise
    todo: str | Promise
    devices_left: int
    facts: list[tuple[str, str]]
    links: list[Link]
    timeline: list[Entry]
    sessions: list[SessionLine]
    orders: list[OrderLine]


def page_of(account: Account) -> AccountPage:
    snapshot = snapshots.take(account.pk) if account.merged_into_id is None else None
    status = snapshot["status"] if snapshot else Status(account.status)
    said = explain(status, snapshot["reason"] if snapshot else "")
    return AccountPage(
        status=cells.status(status),
        tone=cells.TONES[status],
        since=cells.age(account.status_changed_at),
        meaning=_("This account was deleted.") if account.deleted_at else said.meaning,
        todo=_merged_note(account) if account.deleted_at else said.todo,
        devices_left=snapshot["devices_left"] if snapshot else 0,
        facts=_facts(account),
        links=_links(account),
        timeline=[_entry(row) for row in account.transitions.select_related("actor")[:NEWEST]],
        sessions=[_session_line(row) for row in _sessions(account)],
        orders=[_order_line(row) for row in _orders(account)],
    )


def explain(status: Status, reason: str) -> Failure:
    """What is wrong and what to do: by the reason of the end where something went wrong, else by the status."""
    if status in WENT_WRONG and reason in EndReason.values:
        return FAILURES.get(EndReason(reason), STATES[status])
    return STATES[status]


def _merged_note(account: Account) -> str:
    if account.merged_into is None:
        return _("It is kept for its history.")
    return _("Its phone has an account already: %(account)s.") % {"account": account.merged_into}


def _facts(account: Account) -> list[tuple[str, str]]:
    session = account.current_session
    facts = [(_("Phone"), cells.phone(account.phone_number)), (_("Workspace"), str(account.workspace))]
    if session is not None:
        facts += [(_("Bridge"), str(session.bridge)), (_("Last seen"), cells.moment(session.last_seen_at))]
    if session is not None and session.reported_phone:
        facts.append((_("Number that linked"), cells.phone(session.reported_phone)))
    if session is not None and session.action_message:
        facts.append((_("The phone asks"), session.action_message))
    return facts


def _links(account: Account) -> list[Link]:
    session = account.current_session
    of_account, of_session = {"account__id__exact": account.pk}, {"session__id__exact": session.pk if session else 0}
    invitations = account.invitations.usable().count()
    links = [
        Link(_("Whole history"), _list_of("accounts_transition", of_account)),
        Link(_("All link sessions"), _list_of("accounts_linksession", of_account)),
        Link(
            _("Open invitations: %(count)d") % {"count": invitations}, _list_of("accounts_linkinvitation", of_account)
        ),
    ]
    if session is not None:
        links += [
            Link(_("Current session"), reverse("admin:accounts_linksession_change", args=[session.pk])),
            Link(_("Its webhook events"), _list_of("webhooks_webhookevent", of_session)),
            Link(_("Its messages"), _list_of("accounts_message", of_session)),
        ]
    return links


def _list_of(model: str, query: dict[str, int]) -> str:
    return f"{reverse(f'admin:{model}_changelist')}?{urlencode(query)}"


def _entry(row: Transition) -> Entry:
    return Entry(
        at=cells.moment(row.created_at),
        old=cells.status(row.old) if row.old != row.new else None,
        new=cells.status(row.new),
        trigger=row.trigger.replace("_", " "),
        actor=str(row.actor) if row.actor else "",
        reason=cells.reason(row.reason),
    )


def _sessions(account: Account) -> list[LinkSession]:
    return list(account.sessions.select_related("bridge").order_by("-pk")[:NEWEST])


def _session_line(row: LinkSession) -> SessionLine:
    return SessionLine(
        link=Link(row.session_id, reverse("admin:accounts_linksession_change", args=[row.pk])),
        bridge=str(row.bridge),
        started=cells.moment(row.started_at),
        qr_codes=row.qr_count,
        scanned=cells.after(row.started_at, row.authenticated_at),
        connected=cells.after(row.started_at, row.connected_at),
        ended=cells.after(row.started_at, row.ended_at),
        why=cells.reason(row.end_reason),
    )


def _orders(account: Account) -> list[BridgeOrder]:
    return list(BridgeOrder.objects.filter(session__account=account).order_by("-pk")[:NEWEST])


def _order_line(row: BridgeOrder) -> OrderLine:
    return OrderLine(
        link=Link(row.get_kind_display(), reverse("admin:accounts_bridgeorder_change", args=[row.pk])),
        kind=row.kind,
        state=cells.dot(cells.ORDER_TONES[row.state], row.get_state_display()),
        tries=row.attempts,
        made=cells.moment(row.created_at),
        problem=row.error,
    )
