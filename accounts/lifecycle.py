"""The statuses of an account, the allowed changes between them, and the ends of a link session. No ORM here.

Times are in seconds. The rules are in docs/rules.md.
"""

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

LINE_WITHIN = 600  # an attempt waits no longer than this for a busy bridge
FIRST_QR_WITHIN = 60  # rule "One place": from admission; without a QR by then the bridge is not working
SCAN_WITHIN = 120  # rule "One place": from the first QR
READY_WITHIN = 90  # rule "One place": from authentication
ACTION_WITHIN = 300  # a person must do what the phone asks for
SOFT_STOP_AFTER = 15  # rule "Soft ends": time for an authentication that was under way
QUIET_AFTER = 120  # rule "Quiet time": from authentication; two sockets on one fresh login get it logged out
RECOVER_AFTER = 15  # rule "Recovery": after a loss; the bridge tries by itself after 5
PROVEN_AFTER = 120  # rule "Proven": a phone that dislikes the device throws it out by then


class Status(TextChoices):
    INACTIVE = "inactive", _("inactive")
    QR_SCANNING = "qr_scanning", _("waiting for the scan")
    ACTION_REQUIRED = "action_required", _("action required on the phone")
    AUTHENTICATED = "authenticated", _("authenticated")
    CONNECTED = "connected", _("connected")
    DISCONNECTED = "disconnected", _("disconnected")
    QR_EXPIRED = "qr_expired", _("QR code expired")
    LOGGED_OUT = "logged_out", _("logged out")
    FAILED = "failed", _("failed")


class EndReason(TextChoices):
    QR_EXPIRED = "qr_expired", _("not scanned in time")
    RENEWED = "renewed", _("replaced by a new QR code")
    BRIDGE_UNAVAILABLE = "bridge_unavailable", _("the bridge did not answer")
    NEVER_READY = "never_ready", _("scanned, but never ready")
    ACTION_NOT_TAKEN = "action_not_taken", _("the phone's question was not answered")
    WRONG_NUMBER = "wrong_number", _("another number than expected")
    SUPERSEDED = "superseded", _("replaced by another session")
    DEVICE_REMOVED = "device_removed", _("removed from the phone right after linking")
    LOGGED_OUT = "logged_out", _("logged out on the phone")
    PHONE_UNKNOWN = "phone_extraction_failed", _("the phone number could not be read")
    GIVEN_UP = "session_expired", _("given up by the bridge")
    REFUSED = "refused_by_whatsapp", _("refused by WhatsApp")
    RESET = "reset", _("reset by staff")
    CLEANED_UP = "cleaned_up", _("cleaned up")


class EndCause(TextChoices):
    """Why a session was ended, if its EndReason alone does not decide how it is treated. Not shown to anybody."""

    SHOWED_CODE = "showed_code", "a QR code alone"  # a guess, not WhatsApp's word (accounts/reconcile/lost_logins.py)


# Rule "Soft ends"; all others are hard. All but `renewed` come from our clock alone: the phone may be slow, events late
# or lost, the record a restored backup. So a scan takes them back.
SOFT_ENDS = frozenset(
    {
        EndReason.QR_EXPIRED,
        EndReason.RENEWED,
        EndReason.NEVER_READY,
        EndReason.BRIDGE_UNAVAILABLE,
        EndReason.ACTION_NOT_TAKEN,
    }
)
# A code was shown, so a scan may be under way: the stop waits for it, and the session keeps its place until then.
SCANNABLE_ENDS = SOFT_ENDS - {EndReason.BRIDGE_UNAVAILABLE}
UNLINKING_ENDS = frozenset({EndReason.RESET, EndReason.WRONG_NUMBER, EndReason.SUPERSEDED})  # rule "Replaced or reset"
REMOVED_ON_THE_PHONE = frozenset({EndReason.LOGGED_OUT, EndReason.DEVICE_REMOVED})
PAIRING = frozenset({Status.QR_SCANNING, Status.ACTION_REQUIRED, Status.AUTHENTICATED})
UNSCANNED = frozenset({Status.QR_SCANNING, Status.ACTION_REQUIRED})
# A connected account becomes one of these when its link is lost, for now or for good. A reset by staff is no loss.
LOST = frozenset({Status.DISCONNECTED, Status.LOGGED_OUT, Status.FAILED})

_LINKING = {
    Status.AUTHENTICATED,
    Status.CONNECTED,
}  # a scan may be reported late, from any state (rules "Failed webhook" and "Soft ends")
MOVES: dict[Status, frozenset[Status]] = {
    Status.INACTIVE: frozenset({Status.QR_SCANNING, *_LINKING}),
    # To itself: a new QR code replaces the session, not the status (rule "Replaced or reset").
    Status.QR_SCANNING: frozenset(
        {
            Status.QR_SCANNING,
            Status.ACTION_REQUIRED,
            Status.QR_EXPIRED,
            Status.LOGGED_OUT,
            Status.FAILED,
            Status.INACTIVE,
            *_LINKING,
        }
    ),
    Status.ACTION_REQUIRED: frozenset(
        {
            Status.QR_SCANNING,
            Status.QR_EXPIRED,
            Status.DISCONNECTED,
            Status.LOGGED_OUT,
            Status.FAILED,
            Status.INACTIVE,
            *_LINKING,
        }
    ),
    # To qr_scanning by `force` only; a QR code never does that (rule "A code demotes nobody").
    Status.AUTHENTICATED: frozenset(
        {
            Status.CONNECTED,
            Status.ACTION_REQUIRED,
            Status.DISCONNECTED,
            Status.LOGGED_OUT,
            Status.FAILED,
            Status.INACTIVE,
            Status.QR_SCANNING,
        }
    ),
    Status.CONNECTED: frozenset({Status.DISCONNECTED, Status.LOGGED_OUT, Status.FAILED, Status.INACTIVE}),
    Status.DISCONNECTED: frozenset({Status.QR_SCANNING, Status.LOGGED_OUT, Status.FAILED, Status.INACTIVE, *_LINKING}),
    Status.QR_EXPIRED: frozenset({Status.QR_SCANNING, Status.INACTIVE, *_LINKING}),
    Status.LOGGED_OUT: frozenset({Status.QR_SCANNING, Status.INACTIVE, *_LINKING}),
    Status.FAILED: frozenset({Status.QR_SCANNING, Status.INACTIVE, *_LINKING}),
}

# The account's status after its open session has ended for this reason.
STATUS_AFTER: dict[EndReason, Status] = {
    EndReason.QR_EXPIRED: Status.QR_EXPIRED,
    EndReason.BRIDGE_UNAVAILABLE: Status.FAILED,
    EndReason.NEVER_READY: Status.FAILED,
    EndReason.ACTION_NOT_TAKEN: Status.FAILED,
    EndReason.WRONG_NUMBER: Status.FAILED,
    EndReason.DEVICE_REMOVED: Status.LOGGED_OUT,
    EndReason.LOGGED_OUT: Status.LOGGED_OUT,
    EndReason.PHONE_UNKNOWN: Status.FAILED,
    EndReason.GIVEN_UP: Status.FAILED,
    EndReason.REFUSED: Status.FAILED,
    EndReason.RESET: Status.INACTIVE,
    EndReason.CLEANED_UP: Status.INACTIVE,
}


class IllegalMove(Exception):
    """A status change that MOVES does not allow. The caller should have asked `may_move` first."""


def may_move(old: Status, new: Status) -> bool:
    return new in MOVES[old]
