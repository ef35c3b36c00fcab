"""The contents of table cells: a status with its dot, an age, a phone number, a moment, folded JSON."""

import json
from collections.abc import Sequence
from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import failures, phones
from accounts.lifecycle import EndReason, Status
from accounts.models import BridgeOrder, LinkMove, StraySession, Transition
from accounts.pairing import link_probe
from webhooks.models import WebhookEvent

# The same colours everywhere; the dot never stands without its word.
TONES: dict[str, str] = {
    Status.CONNECTED: "good",
    Status.QR_SCANNING: "accent",
    Status.AUTHENTICATED: "accent",
    Status.ACTION_REQUIRED: "wait",
    Status.DISCONNECTED: "wait",
    Status.FAILED: "bad",
    Status.LOGGED_OUT: "bad",
    Status.QR_EXPIRED: "muted",
    Status.INACTIVE: "muted",
}
ORDER_TONES: dict[str, str] = {
    BridgeOrder.State.PENDING: "accent",
    BridgeOrder.State.CLAIMED: "accent",
    BridgeOrder.State.UNCLEAR: "wait",
    BridgeOrder.State.CONFIRMED: "good",
    BridgeOrder.State.FAILED: "bad",
    BridgeOrder.State.CANCELLED: "muted",
}
MOVE_TONES: dict[str, str] = {
    LinkMove.State.WAITS_FOR_STOP: "accent",
    LinkMove.State.STARTED: "good",
    LinkMove.State.GIVEN_UP: "bad",
    LinkMove.State.GIVEN_BACK: "bad",
    LinkMove.State.LAPSED: "muted",
}
EVENT_TONES: dict[str, str] = {
    WebhookEvent.State.RECEIVED: "accent",
    WebhookEvent.State.APPLIED: "good",
    WebhookEvent.State.IGNORED: "muted",
    WebhookEvent.State.FAILED: "wait",
    WebhookEvent.State.DEAD: "bad",
}
PROOF_TONES: dict[str, str] = {
    link_probe.ProbeStep.WAITING: "accent",
    link_probe.ProbeStep.SENT: "accent",
    link_probe.ProbeStep.DELIVERED: "good",
    link_probe.ProbeStep.READ: "good",
    link_probe.ProbeStep.FAILED: "bad",
}
STRAY_TONES: dict[str, str] = {
    StraySession.Outcome.ADOPTED: "good",
    StraySession.Outcome.STOPPED: "muted",
    StraySession.Outcome.GONE: "muted",
}


def dot(tone: str, word: object) -> SafeString:
    return format_html('<span class="ld-dot ld-{}">{}</span>', tone, word)


def several(words: Sequence[object]) -> SafeString:
    """Put words side by side, or one below the other when there is no room."""
    return format_html('<span class="ld-words">{}</span>', format_html_join("", "<span>{}</span>", zip(words)))


def status(value: str) -> SafeString:
    return dot(TONES.get(value, "muted"), Status(value).label)


def phone(digits: str | None) -> str:
    return phones.group(digits) if digits else "–"


def reason(code: str) -> str:
    """Return a history row's reason in words: the words of staff, an end reason's name, or the bridge's reason."""
    why, _colon, said = code.partition(": ")
    if why in EndReason.values:
        return f"{EndReason(why).label}: {_told(said)}" if said else str(EndReason(why).label)
    return _told(code)


def _told(code: str) -> str:
    told = failures.of(code)
    return code if told is failures.UNKNOWN else f"{told.meaning} ({code})"


def moment(value: datetime | None) -> str:
    """Return an absolute time with its zone, for tables."""
    return timezone.localtime(value).strftime("%Y-%m-%d %H:%M:%S %Z") if value else "–"


def when(value: datetime | None) -> SafeString:
    return number(moment(value))


def after(start: datetime, value: datetime | None) -> SafeString | str:
    """Return the time since `start`, for the steps of one attempt; the full time is its title."""
    if value is None:
        return "–"
    seconds = int((value - start).total_seconds())
    return format_html('<time class="ld-age" title="{}">+{}</time>', moment(value), duration(seconds))


def age(value: datetime | None) -> SafeString | str:
    """Return a short relative time, for lists; the full time is its title."""
    if value is None:
        return "–"
    return format_html('<time class="ld-age" title="{}">{}</time>', moment(value), since(value))


def since(value: datetime | None) -> str:
    """Say how long ago it was, in words."""
    return duration(max(0, int((timezone.now() - value).total_seconds()))) if value else "–"


def duration(seconds: int) -> str:
    if seconds < 60:
        return _("%(count)d s") % {"count": seconds}
    if seconds < 3600:
        return _("%(count)d m") % {"count": seconds // 60}
    if seconds < 86_400:
        return _("%(count)d h") % {"count": seconds // 3600}
    return _("%(count)d d") % {"count": seconds // 86_400}


def span(start: datetime, end: datetime) -> str:
    return duration(max(0, int((end - start).total_seconds())))


def happened(row: Transition) -> str:
    """Return the reason of a history row; of one that stands for many losses also how many, and in which time."""
    if not row.losses or row.began_at is None:
        return reason(row.reason)
    text = ngettext("%(count)d more loss within %(span)s", "%(count)d more losses within %(span)s", row.losses)
    text %= {"count": row.losses, "span": span(row.began_at, row.created_at)}
    return f"{text}: {reason(row.reason)}" if row.reason else text


def folded(value: object) -> SafeString:
    """JSON that opens on demand."""
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True)
    return format_html('<details class="ld-raw"><summary>{}</summary><pre>{}</pre></details>', _("Show data"), text)


def number(text: object) -> SafeString:
    """Align a number so that its digits stand under those of other rows."""
    return format_html('<span class="ld-number">{}</span>', text)
