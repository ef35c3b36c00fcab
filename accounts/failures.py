"""Why a session ended -> what it means and what to do next, in words for the page and the admin."""

from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.lifecycle import EndReason


@dataclass(frozen=True)
class Failure:
    meaning: str | Promise
    todo: str | Promise


_AGAIN = _("Get a new code and scan it.")
_REMOVE_OLD = _("Open WhatsApp > Linked devices on the phone, remove the devices you do not know, then get a new code.")

FAILURES: dict[EndReason, Failure] = {
    EndReason.QR_EXPIRED: Failure(_("The phone did not scan in time."), _AGAIN),
    EndReason.RENEWED: Failure(_("This code was replaced by a newer one."), _AGAIN),
    EndReason.BRIDGE_UNAVAILABLE: Failure(
        _("We could not get a code from WhatsApp."), _("Wait a minute, then get a new code.")
    ),
    EndReason.NEVER_READY: Failure(_("The phone scanned the code, but WhatsApp never finished linking."), _REMOVE_OLD),
    EndReason.ACTION_NOT_TAKEN: Failure(
        _("The phone asked for a confirmation that did not come."),
        _("Get a new code, scan it, and confirm on the phone what it asks for."),
    ),
    EndReason.WRONG_NUMBER: Failure(
        _("Another phone was linked than the one expected."),
        _("Scan with the phone whose number is shown here."),
    ),
    EndReason.SUPERSEDED: Failure(_("This attempt was replaced by another one for the same account."), _AGAIN),
    EndReason.DEVICE_REMOVED: Failure(_("The phone removed this device right after linking."), _REMOVE_OLD),
    EndReason.LOGGED_OUT: Failure(_("The device was removed on the phone."), _("Get a new code to link it again.")),
    EndReason.PHONE_UNKNOWN: Failure(
        _("WhatsApp linked, but did not tell the phone's number."),
        _("Restart WhatsApp on the phone and try again."),
    ),
    EndReason.GIVEN_UP: Failure(_("The connection to WhatsApp was given up."), _AGAIN),
    EndReason.REFUSED: Failure(
        _("WhatsApp refuses this link at the moment."),
        _("Ask our support; give them the code at the bottom of this page."),
    ),
    EndReason.CLEANED_UP: Failure(
        _("The connection was lost for a long time, and the link was cleaned up."),
        _("Get a new code to link it again."),
    ),
    EndReason.RESET: Failure(_("Our support has reset this link."), _("Ask our support for a new link.")),
}
