"""Tells for each failure what it means, what to do next, whether trying again helps, and where the cause lies.

One table for the page, the admin, the history and the alerts, in two parts: how a session ended here (EndReason), and
what a bridge says of a loss. The second is looked up only by `of`: a bridge may happen to use one of our own words.
No ORM here.
"""

import re
from dataclasses import dataclass, replace

from django.db.models import TextChoices
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.lifecycle import EndReason


class Fault(TextChoices):
    """Where the cause lies. A fault of ours never counts against the person (rule "Cooldown")."""

    PERSON = "person", _("the person who links")
    PHONE = "phone", _("the phone")
    WHATSAPP = "whatsapp", _("WhatsApp")
    OURS = "ours", _("our side")


@dataclass(frozen=True)
class Advice:
    meaning: str | Promise
    todo: str | Promise


@dataclass(frozen=True, kw_only=True)
class Failure(Advice):
    retry: bool  # whether trying again may work; a loss that ends no link is always tried again (rule "Recovery")
    fault: Fault
    ends: EndReason | None = None  # how a link ends that a bridge has lost for this reason; None: it may come back
    ends_attempt: EndReason | None = None  # how an attempt ends for this reason, if a link would not end
    # Replaces `todo` after we have ended the session, as then nobody keeps trying.
    once_over: str | Promise = ""


_AGAIN = _("Get a new code and scan it.")
_REMOVE_OLD = _("Open WhatsApp > Linked devices on the phone, remove the devices you do not know, then get a new code.")
_LINK_AGAIN = _("Get a new code to link it again.")
_WAIT = _("Wait: we keep trying to connect again.")
_LOOK_AT_PHONE = _("Open WhatsApp on the phone and follow what it says about the account. Then get a new code.")
_CHECK_PHONE = _("Check that the phone is on and has internet. We keep trying to connect again.")

FAILURES: dict[EndReason, Failure] = {
    EndReason.QR_EXPIRED: Failure(_("The phone did not scan in time."), _AGAIN, retry=True, fault=Fault.PERSON),
    EndReason.RENEWED: Failure(_("This code was replaced by a newer one."), _AGAIN, retry=True, fault=Fault.PERSON),
    EndReason.BRIDGE_UNAVAILABLE: Failure(
        _("We could not get a code from WhatsApp."),
        _("Wait a minute, then get a new code."),
        retry=True,
        fault=Fault.OURS,
    ),
    EndReason.NEVER_READY: Failure(
        _("The phone scanned the code, but WhatsApp never finished linking."),
        _REMOVE_OLD,
        retry=True,
        fault=Fault.WHATSAPP,
    ),
    EndReason.ACTION_NOT_TAKEN: Failure(
        _("The phone asked for a confirmation that did not come."),
        _("Get a new code, scan it, and confirm on the phone what it asks for."),
        retry=True,
        fault=Fault.PERSON,
    ),
    EndReason.WRONG_NUMBER: Failure(
        _("Another phone was linked than the one expected."),
        _("Scan with the phone whose number is shown here."),
        retry=False,
        fault=Fault.PERSON,
    ),
    EndReason.SUPERSEDED: Failure(
        _("This attempt was replaced by another one for the same account."), _AGAIN, retry=False, fault=Fault.PERSON
    ),
    EndReason.DEVICE_REMOVED: Failure(
        _("The phone removed this device right after linking."), _REMOVE_OLD, retry=False, fault=Fault.PHONE
    ),
    EndReason.LOGGED_OUT: Failure(
        _("The device was removed on the phone."), _LINK_AGAIN, retry=False, fault=Fault.PHONE
    ),
    EndReason.PHONE_UNKNOWN: Failure(
        _("WhatsApp linked, but did not tell the phone's number."),
        _("Restart WhatsApp on the phone and try again."),
        retry=True,
        fault=Fault.WHATSAPP,
    ),
    EndReason.GIVEN_UP: Failure(_("The connection to WhatsApp was given up."), _AGAIN, retry=True, fault=Fault.OURS),
    EndReason.REFUSED: Failure(
        _("WhatsApp refuses this link at the moment."),
        _("Ask our support; give them the code at the bottom of this page."),
        retry=False,
        fault=Fault.WHATSAPP,
    ),
    EndReason.CLEANED_UP: Failure(
        _("The connection was lost for a long time, and the link was cleaned up."),
        _LINK_AGAIN,
        retry=False,
        fault=Fault.PHONE,
    ),
    EndReason.RESET: Failure(
        _("Our support has reset this link."), _("Ask our support for a new link."), retry=False, fault=Fault.OURS
    ),
}

UNKNOWN = Failure(
    _("The connection to WhatsApp was lost, for a reason that we do not know."), _WAIT, retry=True, fault=Fault.OURS
)


def _lost(
    meaning: str | Promise,
    todo: str | Promise = _WAIT,
    *,
    fault: Fault,
    once_over: str | Promise = _AGAIN,
    ends_attempt: EndReason | None = None,
) -> Failure:
    """A failure after which a lost link comes back without a scan, sooner or later."""
    return Failure(meaning, todo, retry=True, fault=fault, once_over=once_over, ends_attempt=ends_attempt)


_LOGGED_OUT = replace(FAILURES[EndReason.LOGGED_OUT], ends=EndReason.LOGGED_OUT)
_UNLINKED = replace(_LOGGED_OUT, todo=_REMOVE_OLD)
_TAKEN_OVER = _lost(_("Another program of ours used this link at the same time."), fault=Fault.OURS)
# We must mend these two, and all links of a bridge have them at once: an update helps, so nobody is told to scan again.
_OUTDATED = _lost(
    _("WhatsApp no longer accepts the version of our software."),
    _("Our software must be updated. We keep trying to connect again: the phone need not scan again."),
    fault=Fault.OURS,
    once_over=_("The software that links must be updated. Until then, new codes will fail too."),
    ends_attempt=EndReason.REFUSED,
)
_BLOCKED_NETWORK = _lost(
    _("WhatsApp does not accept connections from our network."),
    _("Our network address must be changed. We keep trying to connect again: the phone need not scan again."),
    fault=Fault.OURS,
    once_over=_("Our network address must be changed. Until then, new codes will fail too."),
    ends_attempt=EndReason.REFUSED,
)
_BANNED = Failure(
    _("WhatsApp has blocked this account for breaking its terms of service."),
    _LOOK_AT_PHONE,
    retry=False,
    fault=Fault.WHATSAPP,
    ends=EndReason.REFUSED,
)
_SUSPENDED = replace(_BANNED, meaning=_("WhatsApp has blocked this account for some time."))
_WHATSAPP_DOWN = _lost(_("WhatsApp itself has trouble at the moment."), fault=Fault.WHATSAPP)
_TURNED_AWAY = _lost(_("WhatsApp turned our connection away."), fault=Fault.WHATSAPP)
_DROPPED = _lost(_("The connection to WhatsApp was interrupted."), _CHECK_PHONE, fault=Fault.PHONE)
_CRASHED = _lost(_("Our software that holds the link stopped working."), fault=Fault.OURS)
_NOT_SCANNED = FAILURES[EndReason.QR_EXPIRED]

# The reasons of whatsapp-web.js (WAState in its src/util/Constants.js, and the texts in src/Client.js).
_WEBJS: dict[str, Failure] = {
    "LOGOUT": _LOGGED_OUT,
    "UNPAIRED": _LOGGED_OUT,
    "UNPAIRED_IDLE": _UNLINKED,
    "CONFLICT": _TAKEN_OVER,
    "UNLAUNCHED": replace(_DROPPED, meaning=_("WhatsApp was not running any more.")),
    "DEPRECATED_VERSION": _OUTDATED,
    "PROXYBLOCK": _BLOCKED_NETWORK,
    "SMB_TOS_BLOCK": replace(_BANNED, meaning=_("WhatsApp has blocked this business account.")),
    "TOS_BLOCK": _BANNED,
    "Max qrcode retries reached": _NOT_SCANNED,
    "NAVIGATION": replace(_DROPPED, todo=_WAIT, fault=Fault.WHATSAPP),  # WhatsApp Web loaded its page anew
    "": UNKNOWN,
}

# The reasons of whatsmeow: its events by name, and ConnectFailureReason by number (go.mau.fi/whatsmeow, types/events).
_WHATSMEOW: dict[str, Failure] = {
    "LoggedOut": _LOGGED_OUT,
    "401": _LOGGED_OUT,
    # WhatsApp gives it both when the phone was changed and when the account was locked.
    "403": replace(
        _LOGGED_OUT,
        meaning=_("WhatsApp on the phone was logged out, moved to another phone, or locked."),
        todo=_LOOK_AT_PHONE,
    ),
    "406": _BANNED,
    "TemporaryBan": _SUSPENDED,
    "402": _SUSPENDED,
    "ClientOutdated": _OUTDATED,
    "405": _OUTDATED,
    "409": _OUTDATED,  # WhatsApp rejects how our client introduces itself
    "StreamReplaced": _TAKEN_OVER,
    "PairError": Failure(
        _("The phone scanned the code, but linking failed on our side."), _REMOVE_OLD, retry=True, fault=Fault.OURS
    ),
    "QRScannedWithoutMultidevice": Failure(
        _("WhatsApp on the phone is too old to link devices."),
        _("Update WhatsApp on the phone, then scan the code again."),
        retry=True,  # the codes go on meanwhile
        fault=Fault.PHONE,
    ),
    "KeepAliveTimeout": _DROPPED,
    "Disconnected": _DROPPED,
    "StreamError": _TURNED_AWAY,
    "ConnectFailure": _TURNED_AWAY,
    "400": _TURNED_AWAY,
    "CATRefreshError": _TURNED_AWAY,
    "413": _TURNED_AWAY,
    "414": _TURNED_AWAY,
    "415": _TURNED_AWAY,
    "500": _WHATSAPP_DOWN,
    "501": _WHATSAPP_DOWN,
    "503": _WHATSAPP_DOWN,
}

# The reasons that the bridge in bridge/ adds.
_OUR_BRIDGE: dict[str, Failure] = {"ENGINE_ERROR": _CRASHED, "qr_not_scanned": _NOT_SCANNED}

BRIDGE_REASONS: dict[str, Failure] = _WEBJS | _WHATSMEOW | _OUR_BRIDGE

# Where the text behind a code begins: "401 Unauthorized", "402: for 24 h", "CONFLICT (another)", "LOGOUT by user".
# Other words with nothing but blanks between them are a sentence, which is no code.
_TEXT_BEHIND = re.compile(
    r"(?<=[0-9])(?![0-9a-z_])|[:;,/()\[\]{}!?]|\.(?!\w)|\s[-–—]\s|\s(?:by|for|from|after|because|due|until|since)\s|\s(?=[0-9])"
)
# A number that at most two words lead to: "StreamError: 401", "[401] x". It tells more than they do.
_NUMBER = re.compile(r"(?:[a-z]+(?: [a-z]+)?\s?[:(\[]|[(\[])\s?([0-9]{3})(?![0-9a-z_])")
_OUR_WORDS = frozenset(EndReason.values)


def _spelt_alike(said: str) -> str:
    """The same for "LoggedOut", "LOGGED_OUT", "logged-out" and "logged out"."""
    return re.sub(r"(?<=[a-z])[\s_-](?=[a-z])", "", said.strip().casefold())


_BY_SAID = {_spelt_alike(reason): failure for reason, failure in BRIDGE_REASONS.items()}
# The ends that a bridge's own words may explain better than we can.
_EXPLAINED_BY_BRIDGE = frozenset({EndReason.GIVEN_UP, EndReason.QR_EXPIRED, EndReason.REFUSED})


def of(said: str) -> Failure:
    """The failure for a bridge's reason, in upper or lower case; after an unknown one, trying again may help.

    Bridges write a code with its text ("401: logged out from another device"): the code is what counts.
    """
    said = said.strip()
    if said in _OUR_WORDS:
        return UNKNOWN  # as we spell it, it is ours and says nothing
    lower = said.casefold()
    number = _NUMBER.match(lower)
    code = _TEXT_BEHIND.split(lower.lstrip("([{"), maxsplit=1)[0]
    read = (_BY_SAID.get(_spelt_alike(told)) for told in (lower, number[1] if number else code, code))
    return next(filter(None, read), UNKNOWN)


def of_end(why: EndReason, said: str = "") -> Failure:
    """The failure for the end of a session, or for what the bridge `said`, if that tells more."""
    told = of(said)
    if not _explains(told, why):
        return FAILURES[why]
    return replace(told, todo=told.once_over) if told.once_over else told


def word_for(why: EndReason, said: str) -> str:
    """The first key of BRIDGE_REASONS that means what the bridge `said`, if that tells more about this end."""
    told = of(said)
    words = (word for word, failure in BRIDGE_REASONS.items() if failure is told)
    return next(words) if _explains(told, why) else ""


def _explains(told: Failure, why: EndReason) -> bool:
    return told is not UNKNOWN and (why in _EXPLAINED_BY_BRIDGE or told.ends == why)
