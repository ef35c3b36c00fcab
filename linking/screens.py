"""The faces of the page: one for each view, and one more for each reason that changes the words, whether it is the
reason of the end or the bridge's own word for it.

All of them are rendered by the server in the visitor's language; the script only shows one and hides the others.
"""

from dataclasses import dataclass
from typing import Literal

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts import failures
from accounts.failures import FAILURES
from accounts.lifecycle import EndReason
from accounts.snapshots import Snapshot, View

Words = str | Promise

REFUSED = "refused"
NEW_CODE = _("New QR code")


@dataclass(frozen=True)
class Face:
    key: str  # made from the snapshot: the view, or "view:reason", or "view:word of the bridge"
    title: Words
    meaning: Words = ""
    todo: Words = ""
    tone: Literal["good", "wait", "bad", "quiet"] = "quiet"  # with an icon of its own: colour never speaks alone
    button: Words = ""  # posts "start", which begins an attempt, or joins the one that somebody else has begun
    shows_phone: bool = False
    shows_devices: bool = False  # whether to say how many of our devices may still be on the phone
    is_moving: bool = False  # something is on its way: the icon turns


# They stand beside the QR tile, which is always in the same place.
CODE_FACES = (
    Face(View.WAITING, _("Many are linking just now"), is_moving=True),
    Face(View.PREPARING, _("Getting your QR code"), is_moving=True),
    Face(View.SCAN, _("Scan this code with WhatsApp")),
)

_TITLES: dict[View, Words] = {
    View.EXPIRED: _("The code has run out"),
    View.WRONG_NUMBER: _("That was another phone"),
    View.REMOVED: _("No longer linked"),
    View.FAILED: _("Linking did not work"),
    View.UNAVAILABLE: _("No code at the moment"),
}
# These words stand when the page has none for the reason.
_PLAIN_FAILURES = (
    (View.EXPIRED, FAILURES[EndReason.QR_EXPIRED]),
    (View.WRONG_NUMBER, FAILURES[EndReason.WRONG_NUMBER]),
    (View.REMOVED, FAILURES[EndReason.LOGGED_OUT]),
    (View.FAILED, FAILURES[EndReason.GIVEN_UP]),
    (View.UNAVAILABLE, FAILURES[EndReason.BRIDGE_UNAVAILABLE]),
)
_REASONS = {
    View.REMOVED: (EndReason.DEVICE_REMOVED,),
    View.FAILED: (
        EndReason.NEVER_READY,
        EndReason.ACTION_NOT_TAKEN,
        EndReason.PHONE_UNKNOWN,
        EndReason.REFUSED,
    ),
}
_SAID: dict[View, dict[EndReason, tuple[str, ...]]] = {
    View.EXPIRED: {EndReason.QR_EXPIRED: ("QRScannedWithoutMultidevice", "PairError")},
    View.FAILED: {
        EndReason.GIVEN_UP: ("QRScannedWithoutMultidevice", "PairError"),
        EndReason.REFUSED: ("TOS_BLOCK", "SMB_TOS_BLOCK", "TemporaryBan", "DEPRECATED_VERSION", "PROXYBLOCK"),
    },
    View.REMOVED: {EndReason.LOGGED_OUT: ("403", "UNPAIRED_IDLE")},
}
_TONES: dict[View, Literal["wait", "bad", "quiet"]] = {View.EXPIRED: "quiet", View.UNAVAILABLE: "wait"}


def _failure(view: View, reason: EndReason | None = None, said: str = "") -> Face:
    failure = failures.of_end(reason, said) if reason else dict(_PLAIN_FAILURES)[view]
    return Face(
        key_of(view, reason or "", said),
        _TITLES[view],
        failure.meaning,
        failure.todo,
        tone=_TONES.get(view, "bad"),
        button=NEW_CODE,
        shows_phone=view == View.WRONG_NUMBER,
        shows_devices=view in {View.REMOVED, View.FAILED, View.WRONG_NUMBER},
    )


def key_of(view: View, reason: str, said: str = "") -> str:
    """Return the key of the face for a failed view: by the bridge's word `said`, by `reason`, or the view's own when
    neither changes the words."""
    if any(said in words for words in _SAID.get(view, {}).values()):
        return f"{view}:{said}"
    return f"{view}:{reason}" if reason in _REASONS.get(view, ()) else str(view)


def face_of(snapshot: Snapshot) -> str:
    return key_of(snapshot["view"], snapshot["reason"], snapshot["said"])


MESSAGE_FACES = (
    Face(
        View.IDLE,
        _("Link your WhatsApp"),
        _("You need the phone with this WhatsApp in your hand."),
        button=_("Show the QR code"),
        shows_devices=True,
    ),
    Face(
        View.ACTION,
        _("Continue on your phone"),
        _("WhatsApp asks for one more confirmation there."),
        _("Confirm it, and leave this page open."),
        tone="wait",
    ),
    Face(
        View.FINISHING,
        _("Scanned. Almost done"),
        _("WhatsApp is finishing the link. This takes up to a minute."),
        _("Keep WhatsApp open on the phone until this page says that it is linked."),
        is_moving=True,
    ),
    Face(
        View.CHECKING,
        _("Scanned. We check the number"),
        _("WhatsApp did not tell this phone's number clearly, so our support confirms it."),
        _("You need do nothing more. Leave the new device under Linked devices on the phone."),
        tone="wait",
    ),
    Face(
        View.LINKED,
        _("Linked"),
        _("You can close this page. Do not remove the new device from Linked devices on the phone."),
        tone="good",
        shows_phone=True,
    ),
    Face(
        View.RECONNECTING,
        _("Reconnecting"),
        _("The connection to WhatsApp was interrupted. It comes back by itself."),
        _("Make sure that the phone is on and has internet."),
        tone="wait",
        shows_phone=True,
        is_moving=True,
    ),
    # The face of a refused start; its text comes with the refusal.
    Face(REFUSED, _TITLES[View.UNAVAILABLE], tone="wait", button=_("Try again")),
    *(_failure(view) for view, _words in _PLAIN_FAILURES),
    *(_failure(view, reason) for view, reasons in _REASONS.items() for reason in reasons),
    *(_failure(view, reason, word) for view, ends in _SAID.items() for reason, words in ends.items() for word in words),
)


_ALL_TITLES = {face.key: face.title for face in (*CODE_FACES, *MESSAGE_FACES)}


def title_of(key: str) -> Words:
    return _ALL_TITLES[key]
