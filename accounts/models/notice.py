"""What people should know of a linked account beside its status: that its link flaps, or that WhatsApp restricts it."""

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from accounts.models.account import Account

TOLD_FOR = timedelta(hours=24)  # a restriction without an end counts for so long after it was last told


class AccountNoticeQuerySet(models.QuerySet["AccountNotice"]):
    def current(self) -> "AccountNoticeQuerySet":
        """Those that hold now. A restriction also ends with its session: the next link is told of it anew."""
        now = timezone.now()
        lasts = Q(until__gt=now) | Q(until__isnull=True, last_at__gt=now - TOLD_FOR)
        linked = Q(kind=AccountNotice.Kind.FLAPPING) | Q(session__ended_at__isnull=True)
        return self.filter(lasts, linked, account__deleted_at__isnull=True)

    def hand_over(self, to: "Account", *, prevail: bool) -> None:
        """Make them notices of the account that theirs is merged into. Of two of one kind these stay if they `prevail`,
        else its own."""
        own = AccountNotice.objects.filter(account=to)
        losing, winning = (own, self) if prevail else (self, own)
        losing.filter(kind__in=list(winning.values_list("kind", flat=True))).delete()
        self.update(account=to)


class AccountNotice(models.Model):
    """One for each kind and account. It is over when the next event says so, or by its time."""

    class Kind(models.TextChoices):
        FLAPPING = "flapping", _("lost again and again")
        TIME_LOCK = "time_lock", _("may not write to new people for some time")
        CHAT_CAP = "chat_cap", _("may begin only so many chats")
        SEND_REFUSED = "send_refused", _("a message was refused (463)")
        RESTRICTED = "restricted", _("restricted by WhatsApp")

    account = models.ForeignKey("accounts.Account", models.CASCADE, related_name="notices", verbose_name=_("account"))
    session = models.ForeignKey("accounts.LinkSession", models.CASCADE, related_name="+", verbose_name=_("session"))
    kind = models.CharField(_("kind"), max_length=16, choices=Kind.choices)
    # The bridge's own words; of a link that flaps, its reasons for the last losses.
    text = models.CharField(_("what was said"), max_length=300, blank=True, default="")
    count = models.PositiveIntegerField(_("times"), default=1)
    since = models.DateTimeField(_("since"), default=timezone.now)
    last_at = models.DateTimeField(_("last told"), default=timezone.now)
    until = models.DateTimeField(_("until"), null=True)

    objects = AccountNoticeQuerySet.as_manager()

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        constraints = [models.UniqueConstraint(fields=["account", "kind"], name="one_notice_per_kind")]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
