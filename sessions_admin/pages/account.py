"""The part of an account's page above its form: what is wrong, what to do, and what happened."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from accounts import snapshots
from accounts.lifecycle import Status
from accounts.models import Account, AuditEntry, BridgeOrder, LinkInvitation, LinkSession, Message, Transition
from accounts.pairing import link_probe
from sessions_admin import bridge_display, display, labels
from sessions_admin.pages.diagnosis import Diagnosis, diagnose
from sessions_admin.visibility import actor_of, way_to, way_to_list
from webhooks.models import WebhookEvent

NEWEST = 12  # rows of each table; the links lead to all of them


@dataclass(frozen=True)
class Link:
    """Without a `url` the reader may not open what it names."""

    text: str
    url: str  # empty: its reader may not open it


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
    state: SafeString
    tries: int
    age: SafeString | str
    problem: str


@dataclass(frozen=True)
class TestLine:
    """The result of the last test message."""

    to: str
    step: SafeString
    text: str
    link: Link
    is_under_way: bool


@dataclass(frozen=True)
class AccountPage:
    status: SafeString
    unreachable: SafeString | str
    tone: str
    since: SafeString | str
    diagnosis: Diagnosis
    test: TestLine | None
    devices_left: int
    facts: list[tuple[str, str]]
    links: list[Link]
    timeline: list[Entry]
    sessions: list[SessionLine]
    orders: list[OrderLine]


def page_of(account: Account, request: HttpRequest) -> AccountPage:
    """Return the page as this user may see it."""
    snapshot = snapshots.take(account.pk) if account.merged_into_id is None else None
    status = snapshot["status"] if snapshot else Status(account.status)
    unreachable = bridge_display.unreachable(account)
    gone = Diagnosis(_("This account was deleted."), _merged_note(account))
    is_troubled = status == Status.CONNECTED and (unreachable or account.notices.current().exists())
    return AccountPage(
        status=display.status(status),
        unreachable=unreachable,
        tone="wait" if is_troubled else display.TONES[status],
        since=display.age(account.status_changed_at),
        diagnosis=diagnose(account, snapshot, actor_of(request)) if snapshot and not account.deleted_at else gone,
        test=_test_line(account, request),
        devices_left=snapshot["devices_left"] if snapshot else 0,
        facts=_facts(account),
        links=_links(account, request),
        timeline=list(map(_entry, account.transitions.select_related("actor")[:NEWEST])),
        sessions=_session_lines(account, request),
        orders=_order_lines(account, request),
    )


def _merged_note(account: Account) -> str:
    if account.merged_into is None:
        return _("It is kept for its history.")
    return _("Its phone has an account already: %(account)s.") % {"account": account.merged_into}


def _test_line(account: Account, request: HttpRequest) -> TestLine | None:
    tests = BridgeOrder.objects.filter(session__account=account, kind=BridgeOrder.Kind.TEST_MESSAGE)
    order = tests.order_by("-pk").first()
    if order is None:
        return None
    proof = link_probe.proof_of(order)
    return TestLine(
        to=display.phone(order.phone_number),
        step=display.dot(display.PROOF_TONES[proof.step], proof.step.label),
        text=proof.text,
        link=Link(display.moment(order.created_at), way_to(request, order)),
        is_under_way=proof.step in {link_probe.ProbeStep.WAITING, link_probe.ProbeStep.SENT},
    )


def _facts(account: Account) -> list[tuple[str, str]]:
    session = account.current_session
    facts = [(_("Phone"), display.phone(account.phone_number)), (_("Workspace"), str(account.workspace))]
    if session is not None:
        facts += [(_("Bridge"), str(session.bridge)), (_("Last seen"), display.moment(session.last_seen_at))]
    if session is not None and session.unreadable_codes:
        facts.append((_("Codes that could not be shown"), str(session.unreadable_codes)))
    if session is not None and session.reported_phone:
        facts.append((_("Number that linked"), display.phone(session.reported_phone)))
    if session is not None and session.action_message:
        facts.append((_("The phone asks"), session.action_message))
    return facts


def _links(account: Account, request: HttpRequest) -> list[Link]:
    """Return the links that this person may open."""
    session = account.current_session
    of_account = {"account__id__exact": account.pk}
    invitations = _("Open invitations: %(count)d") % {"count": account.invitations.usable().count()}
    links = [
        Link(_("Whole history"), way_to_list(request, Transition, **of_account)),
        Link(_("Edits of the form"), reverse("admin:accounts_account_history", args=[account.pk])),
        Link(_("All link sessions"), way_to_list(request, LinkSession, **of_account)),
        Link(invitations, way_to_list(request, LinkInvitation, **of_account)),
        Link(_("What staff did"), way_to_list(request, AuditEntry, model="accounts.account", object_id=account.pk)),
    ]
    if session is not None:
        of_session = {"session__id__exact": session.pk}
        links += [
            Link(_("Current session"), way_to(request, session)),
            Link(_("Its webhook events"), way_to_list(request, WebhookEvent, **of_session)),
            Link(_("Its messages"), way_to_list(request, Message, **of_session)),
        ]
    return [link for link in links if link.url]


def _entry(row: Transition) -> Entry:
    return Entry(
        at=display.moment(row.created_at),
        old=display.status(row.old) if row.old != row.new else None,
        new=display.status(row.new),
        trigger=labels.trigger(row.trigger),
        actor=str(row.actor) if row.actor else "",
        reason=display.happened(row),
    )


def _session_lines(account: Account, request: HttpRequest) -> list[SessionLine]:
    rows = account.sessions.select_related("bridge").order_by("-pk")[:NEWEST]
    return [_session_line(row, request) for row in rows]


def _session_line(row: LinkSession, request: HttpRequest) -> SessionLine:
    return SessionLine(
        link=Link(row.session_id, way_to(request, row)),
        bridge=str(row.bridge),
        started=display.moment(row.started_at),
        qr_codes=row.qr_count,
        scanned=display.after(row.started_at, row.authenticated_at),
        connected=display.after(row.started_at, row.connected_at),
        ended=display.after(row.started_at, row.ended_at),
        why=display.reason(row.end_reason),
    )


def _order_lines(account: Account, request: HttpRequest) -> list[OrderLine]:
    rows = BridgeOrder.objects.filter(session__account=account).order_by("-pk")[:NEWEST]
    return [_order_line(row, request) for row in rows]


def _order_line(row: BridgeOrder, request: HttpRequest) -> OrderLine:
    return OrderLine(
        link=Link(row.get_kind_display(), way_to(request, row)),
        state=display.dot(display.ORDER_TONES[row.state], row.get_state_display()),
        tries=row.attempts,
        age=display.age(row.created_at),
        problem=row.error,
    )
