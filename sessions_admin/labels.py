"""Words for codes in the record: the trigger of a change, the kind of an incident, the name of a job."""

import re

from django.utils.functional import Promise
from django.utils.translation import gettext, gettext_noop
from django.utils.translation import gettext_lazy as _

from accounts.failures import Advice
from accounts.jobs import schedules
from accounts.models import AccountNotice, Incident

# The triggers in history rows. A trigger that is not here is shown as it is.
TRIGGERS: dict[str, str | Promise] = {
    "admin": _("started by staff"),
    "api": _("started through the API"),
    "page": _("started on the linking page"),
    "force_reset": _("reset"),
    "deadline": _("time ran out"),
    "cleanup": _("cleaned up"),
    "check": _("the bridge was asked"),
    "qr_code_generated": _("QR code from the bridge"),
    "session_authenticated": _("scanned"),
    "session_ready": _("ready"),
    "session_error": _("error from the bridge"),
    "session_disconnected": _("connection lost"),
    "session_expired": _("given up by the bridge"),
    "session_action_required": _("the phone asks for something"),
    "webhook_send_failed": _("ready, told late"),
    "mark_disconnected": _("reported lost by the bridge"),
    "device_conflict": _("two devices of one phone"),
    "order_failed": _("order to the bridge failed"),
    "order_unclear": _("answer of the bridge unclear"),
    "reconcile": _("compared with the bridge"),
    "move": _("move to another bridge"),
    "adopted": _("adopted by staff"),
    "contested": _("claimed by two bridges"),
    "line": _("sent to another bridge's line"),
    "number_accepted": _("number accepted by staff"),
    "number_taken": _("new number taken by staff"),
    "twins_merged": _("two accounts of one phone merged"),
    "cooldown_overridden": _("started in spite of the cooldown"),
    "refused": _("no bridge could take it"),
    "flapping": _("lost and back again"),
    "session_restricted": _("restriction by WhatsApp"),
}

# Each kind of incident has its meaning for the accounts that are linked there, and the advice on what to do.
INCIDENTS: dict[str, Advice] = {
    Incident.Kind.DOWN: Advice(
        _("The bridge does not answer. Its accounts keep their status; nothing is counted against them."),
        _("Look whether its process and its machine run. It is told what to restore as soon as it is back."),
    ),
    Incident.Kind.MASS_LOSS: Advice(
        _("Many connections were lost at once: it is the bridge or its network, not the phones."),
        _("Look at the bridge's machine and line. The links are taken up again by themselves, two at a time."),
    ),
    Incident.Kind.ALTERNATING: Advice(
        _("Its answers alternate: several processes sit behind one address, and each knows only its own sessions."),
        _(
            "Run one process per address (PM2: fork mode, one instance). Until then new attempts go to other bridges "
            "where they can, and a lost link is opened only when all processes were heard."
        ),
    ),
    Incident.Kind.BRAKE: Advice(
        _("It runs more ended sessions than are stopped at once. That may be our mistake, so none was stopped."),
        _("Look whether an old backup was restored here. If they are links that still work, do not stop them by hand."),
    ),
    Incident.Kind.CONTESTED: Advice(
        _("It runs a session that another bridge owns. Two sockets on one login get the phone logged out."),
        _("The owner keeps it, the other is told to stop. Look why both have the login: copied session folders?"),
    ),
    Incident.Kind.NO_LOGINS: Advice(
        _("It shows new QR codes for many links at once. It has probably lost its data folder; no link was ended."),
        _("Start the bridge with its old data folder (BRIDGE_DATA_DIR): the links come back, and nobody has to scan."),
    ),
}

# What each notice of an account means, and the advice on what to do.
NOTICES: dict[str, Advice] = {
    AccountNotice.Kind.FLAPPING: Advice(
        _("The link is lost and comes back again and again."),
        _(
            "Where one account does so, look at its phone: internet, battery saving, WhatsApp in the background. Where "
            "many do, look at the bridge's machine and line. Nobody has to scan."
        ),
    ),
    AccountNotice.Kind.TIME_LOCK: Advice(
        _("The account is linked. For some time WhatsApp lets it write to nobody new."),
        _("Send nothing to new people until it is over; those who have written get answers. Do not link it anew."),
    ),
    AccountNotice.Kind.CHAT_CAP: Advice(
        _("The account is linked. WhatsApp lets it begin only so many new chats."),
        _("Begin no new chats until it is over; those that there are go on. Do not link it anew."),
    ),
    AccountNotice.Kind.SEND_REFUSED: Advice(
        _("The account is linked. WhatsApp refused a message to somebody new (error 463)."),
        _("Send nothing to new people for a day or two; those who have written get their answers."),
    ),
    AccountNotice.Kind.RESTRICTED: Advice(
        _("The account is linked. WhatsApp restricts what it may do."),
        _("Read on the phone what WhatsApp says of it. Do not link it anew."),
    ),
}

# The leases that are no jobs: those of each bridge, and the one for orders to bridges that fail.
LEASES = {
    "bridge:N:starts": gettext_noop("bridge %(number)s: starts"),
    "bridge:N:others": gettext_noop("bridge %(number)s: other orders"),
    "poll of bridge N": gettext_noop("bridge %(number)s: asking how it is"),
    "next poll of bridge N": gettext_noop("bridge %(number)s: asking it once more soon"),
    "reconcile of bridge N": gettext_noop("bridge %(number)s: comparing it with the record"),
    "recovery of bridge N": gettext_noop("bridge %(number)s: recovering lost links"),
    "bridges that fail": gettext_noop("orders to bridges that fail"),
}


def trigger(code: str) -> str:
    return str(TRIGGERS.get(code) or code.replace("_", " "))


def job(lease: str) -> str:
    name = lease.removeprefix("job:")
    if name in {job.name for job in schedules.JOBS}:
        return gettext(name)
    number = re.search(r"\d+", name)
    text = LEASES.get(re.sub(r"\d+", "N", name))
    return gettext(text) % {"number": number and number[0]} if text else name
