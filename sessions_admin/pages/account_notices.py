"""What is shown of the notices of accounts: links that flap, and what WhatsApp restricts."""

from collections.abc import Sequence

from django.utils.text import capfirst
from django.utils.translation import gettext as _

from accounts import failures
from accounts.failures import Advice
from accounts.lifecycle import Status
from accounts.models import Account, AccountNotice
from sessions_admin import display
from sessions_admin.labels import NOTICES

Kind = AccountNotice.Kind


def current(account: Account) -> list[AccountNotice]:
    """Those that hold now, the newest first."""
    return list(account.notices.current().order_by("-last_at"))


def advice_for(status: Status, notices: Sequence[AccountNotice]) -> Advice | None:
    """What is said in place of the status, which looks well or is expected to get well; None: that says enough."""
    if status == Status.CONNECTED and notices:
        return NOTICES[notices[0].kind]
    flaps = status == Status.DISCONNECTED and any(notice.kind == Kind.FLAPPING for notice in notices)
    return NOTICES[Kind.FLAPPING] if flaps else None


def in_words(notice: AccountNotice) -> str:
    return facts(notice) if notice.kind == Kind.FLAPPING else f"{capfirst(notice.get_kind_display())}, {facts(notice)}"


def facts(notice: AccountNotice) -> str:
    """Of a link that flaps how often, in which time and why; of a restriction until when, and what was said."""
    if notice.kind == Kind.FLAPPING:
        return _lost(notice)
    ends = _("until %(time)s") % {"time": display.moment(notice.until)} if notice.until else _("without a known end")
    return f"{ends}: {notice.text}" if notice.text else ends


def _lost(notice: AccountNotice) -> str:
    reasons = ", ".join(map(_meant, filter(None, notice.text.split(", ")))) or _("the bridge gives no reason")
    text = _("Lost %(count)d times within %(span)s, at last %(time)s ago: %(reasons)s")
    return text % {
        "count": notice.count,
        "span": display.span(notice.since, notice.last_at),
        "time": display.since(notice.last_at),
        "reasons": reasons,
    }


def _meant(said: str) -> str:
    told = failures.of(said)
    return said if told is failures.UNKNOWN else f"{str(told.meaning).rstrip('.')} ({said})"
