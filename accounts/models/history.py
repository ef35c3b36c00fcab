"""The history of an account: each change of its status, and notes. Never edited, but that of a flapping link folded."""

from collections.abc import Iterable
from datetime import datetime
from itertools import groupby
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.lifecycle import Status

FLAPPING = "flapping"  # the trigger of a row that stands for many
# Rows with these triggers may be folded: bridges and the desk write them while a link is lost and comes back.
FOLDED = frozenset(
    {
        FLAPPING,
        "check",
        "mark_disconnected",
        "order_failed",
        "order_unclear",
        "reconcile",
        "session_disconnected",
        "session_ready",
        "webhook_send_failed",
    }
)
UP_AND_DOWN = frozenset({Status.CONNECTED, Status.DISCONNECTED})


class Transition(models.Model):
    account = models.ForeignKey(
        "accounts.Account", models.CASCADE, related_name="transitions", verbose_name=_("account")
    )
    session = models.ForeignKey(
        "accounts.LinkSession",
        models.SET_NULL,
        null=True,
        related_name="transitions",
        verbose_name=_("session"),
    )
    old = models.CharField(_("from"), max_length=20, choices=Status.choices)
    new = models.CharField(_("to"), max_length=20, choices=Status.choices)
    trigger = models.CharField(_("trigger"), max_length=40)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("by")
    )
    reason = models.CharField(_("reason"), max_length=500, blank=True, default="")
    # A row that stands for those of a link that flapped: how many losses they told of, and since when.
    losses = models.PositiveIntegerField(_("losses"), default=0)
    began_at = models.DateTimeField(_("began"), null=True)
    created_at = models.DateTimeField(_("when"), default=timezone.now)

    class Meta:
        verbose_name = _("history entry")
        verbose_name_plural = _("history")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["account", "-id"])]

    def __str__(self) -> str:
        return f"{self.old} → {self.new}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk:
            raise TypeError("The history is append-only.")
        super().save(*args, **kwargs)

    @property
    def is_loss(self) -> bool:
        return self.old == Status.CONNECTED != self.new


def fold(account_id: int, *, session_id: int, since: datetime) -> None:
    """Make one row of those between the first loss of a link since then and the last.

    Rows that are kept divide them: each run between two of these becomes one, so that each row's `old` is still the
    `new` of the one before. The caller holds the account's lock: nobody else writes here.
    """
    rows = list(Transition.objects.filter(account=account_id, created_at__gte=since).order_by("pk"))
    losses = [number for number, row in enumerate(rows) if row.is_loss and row.session_id == session_id]
    between = rows[losses[0] + 1 : losses[-1]] if losses else []
    for is_folded, run in groupby(between, key=lambda row: _may_fold(row, session_id)):
        if is_folded:
            _make_one(list(run))


def _may_fold(row: Transition, session_id: int) -> bool:
    is_of_link = row.session_id == session_id and {row.old, row.new} <= UP_AND_DOWN
    return is_of_link and row.actor_id is None and row.trigger in FOLDED


def _make_one(run: list[Transition]) -> None:
    """The first row of them stays, for all of them."""
    first, *others = run
    if not others:
        return
    Transition.objects.filter(pk__in=[row.pk for row in others]).delete()
    Transition.objects.filter(pk=first.pk).update(
        new=run[-1].new,
        trigger=FLAPPING,
        losses=sum(row.losses or row.is_loss for row in run),
        began_at=first.began_at or first.created_at,
        created_at=run[-1].created_at,
        reason=_reasons(run),
    )


def _reasons(run: Iterable[Transition]) -> str:
    """Each reason for a loss once; a row that was folded before has several."""
    told = [row.reason.split(", ") for row in run if row.is_loss or row.losses]
    return ", ".join(dict.fromkeys(reason for reasons in told for reason in reasons if reason))[:500]
