"""The history of an account: each change of its status, and notes. Never edited."""

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.lifecycle import Status


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
