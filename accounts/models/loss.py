"""A link that flaps: how often it was lost lately, the notice of that, and one row of the history for all of it.

The caller holds the account's lock. Nothing is decided by the history: the last losses stand in a table of their own.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.models.history import fold
from accounts.models.notice import AccountNotice

if TYPE_CHECKING:
    from accounts.models.session import LinkSession

MANY = 5  # losses
WITHIN = timedelta(hours=1)  # so many in this time are a flap; it is over when there was none for as long


class LinkLoss(models.Model):
    """A loss of a link that did not hold for long, or the one before it. Of each link only the last MANY are kept."""

    session = models.ForeignKey(
        "accounts.LinkSession", models.CASCADE, related_name="losses", verbose_name=_("session")
    )
    at = models.DateTimeField(_("when"))
    said = models.CharField(_("reason"), max_length=191, blank=True, default="")

    class Meta:
        verbose_name = _("loss of a link")
        verbose_name_plural = _("losses of links")

    def __str__(self) -> str:
        return f"loss {self.pk}"


def note_loss(session: "LinkSession", *, at: datetime, said: str) -> None:
    """Note when the link was lost. Most hold for long: only of one that did not are its losses kept."""
    lost_before, said_before = session.last_lost_at, session.lost_reason
    session.last_lost_at, session.lost_reason = at, said[:191]
    held_for_long = session.last_connected_at is None or session.last_connected_at <= at - WITHIN
    session.quick_losses = 0 if held_for_long else session.quick_losses + 1
    session.save(update_fields=["last_lost_at", "lost_reason", "quick_losses"])
    if session.quick_losses == 1 and lost_before is not None:
        _keep(session, lost_before, said_before)
    if session.quick_losses:
        _keep(session, at, said)


def look_for_flap(session: "LinkSession", *, account_id: int, is_lost: bool) -> None:
    """After a move's row in the history was written: tell of a link that flaps, and fold its rows.

    `is_lost`: it was lost just now.
    """
    if session.quick_losses < MANY - 1:
        return
    if is_lost:
        _count(session, account_id)
    _fold(session, account_id)


def _count(session: "LinkSession", account_id: int) -> None:
    last = list(LinkLoss.objects.filter(session=session).order_by("-pk")[:MANY])
    LinkLoss.objects.filter(session=session, pk__lt=last[-1].pk).delete()
    notice = _notice_of(session, account_id, last)
    if notice is not None:
        notice.last_at, notice.until, notice.text = last[0].at, last[0].at + WITHIN, _reasons(last)
        notice.save()


def _fold(session: "LinkSession", account_id: int) -> None:
    flap = AccountNotice.objects.filter(account=account_id, kind=AccountNotice.Kind.FLAPPING, session=session).first()
    if flap is not None and flap.last_at == session.last_lost_at:
        fold(account_id, session_id=session.pk, since=flap.since)


def _keep(session: "LinkSession", at: datetime, said: str) -> None:
    LinkLoss.objects.create(session=session, at=at, said=said[:191])


def _notice_of(session: "LinkSession", account_id: int, last: Sequence[LinkLoss]) -> AccountNotice | None:
    """The notice of the flap, with this loss counted; None: it does not flap. `last`: the last losses, newest first."""
    kind, at = AccountNotice.Kind.FLAPPING, last[0].at
    known = AccountNotice.objects.filter(account=account_id, kind=kind).first()
    if known is not None and known.session_id == session.pk and known.last_at > at - WITHIN:
        known.count += 1
        return known
    if len(last) < MANY or last[-1].at <= at - WITHIN:
        return None
    new = known or AccountNotice(account_id=account_id, kind=kind)
    new.session, new.count, new.since = session, MANY, last[-1].at
    return new


def _reasons(last: Sequence[LinkLoss]) -> str:
    return ", ".join(dict.fromkeys(loss.said for loss in last if loss.said))[:300]
