"""A bridge in a cell or a line: whether it is up, what its library is known for, how full it is."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from accounts.bridges.library_versions import Level, advisory
from accounts.bridges.presence import UP_WITHIN, is_up
from accounts.models import Account, Bridge
from sessions_admin import display

ADVISORY_TONES = {Level.BAD: "bad", Level.WARN: "wait", Level.GOOD: "good"}


def is_down(bridge: Bridge) -> bool:
    """Whether it is silent for longer than three heartbeats. A bridge that was never heard of is not down."""
    return bridge.last_heard_at is not None and not is_up(bridge)


def speaks_for_itself(bridge: Bridge) -> bool:
    """Whether its heartbeats describe it; they would overwrite the values that staff type."""
    beat = bridge.last_heartbeat_at
    return beat is not None and beat >= timezone.now() - timedelta(seconds=UP_WITHIN)


def state(bridge: Any) -> SafeString:
    """Say whether it is up, draining, refusing orders or giving no codes. `bridge` comes from `with_load`."""
    words = [hearing(bridge)]
    words += [display.dot("wait", _("draining"))] if bridge.is_draining else []
    words += [display.dot("wait", _("refuses orders"))] if bridge.failing_since else []
    words += [display.dot("wait", _("gave no QR code"))] if bridge.gave_no_code else []
    return display.several(words)


def hearing(bridge: Bridge) -> SafeString:
    """Whether it is up, and nothing else: whoever sees a bridge may see this."""
    if bridge.last_heard_at is None:
        return display.dot("muted", _("never heard of"))
    if is_down(bridge):
        return display.dot("bad", format_html(_("down for {}"), display.age(bridge.last_heard_at)))
    return display.dot("good", _("up"))


def library(bridge: Bridge) -> SafeString | str:
    """Return the library's name and version, with a word on what the version is known for."""
    name = f"{bridge.library} {bridge.version}".strip()
    known = advisory(bridge.library, bridge.version)
    if known is None:
        return name or "–"
    words = {Level.BAD: _("known to fail"), Level.WARN: _("with problems"), Level.GOOD: _("proven")}
    verdict = display.dot(ADVISORY_TONES[known.level], words[known.level])
    return display.several([name, verdict])


def load(bridge: Any) -> str:
    return _("%(running)d of %(capacity)d") % {"running": bridge.running, "capacity": bridge.capacity}


def pairings(bridge: Any) -> str:
    text = _("%(count)d of %(limit)d") % {"count": bridge.pairing, "limit": bridge.pairings_at_once}
    return text + (", " + _("%(count)d waiting") % {"count": bridge.waiting} if bridge.waiting else "")


def unreachable(account: Account) -> SafeString | str:
    """This stands beside the status, never in its place: a silent bridge says nothing about the phone."""
    session = account.current_session
    if session is None or not session.is_open or not is_down(session.bridge):
        return ""
    return display.dot("wait", _("bridge unreachable"))
