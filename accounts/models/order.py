"""What the desk wants a bridge to do, kept until evidence shows that it was done."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class BridgeOrder(models.Model):
    class Kind(models.TextChoices):
        START = "start", _("start")
        RECONNECT = "reconnect", _("reconnect")
        STOP = "stop", _("stop")
        CHECK = "check", _("check")

    class Why(models.TextChoices):
        """What made us ask the bridge (rule 0)."""

        LATE_QR = "late_qr", _("a QR code long after the scan")
        REPEATED = "repeated", _("an event like one just before")
        OVERTAKEN = "overtaken", _("an event older than what came after it")
        PAIR = "pair", _("somebody wants to pair a connected account")

    class State(models.TextChoices):
        PENDING = "pending", _("waiting")
        CLAIMED = "claimed", _("being delivered")
        UNCLEAR = "unclear", _("delivered, answer unclear")
        CONFIRMED = "confirmed", _("done")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    UNDER_WAY = (State.PENDING, State.CLAIMED, State.UNCLEAR)

    session = models.ForeignKey(
        "accounts.LinkSession", models.CASCADE, related_name="orders", verbose_name=_("session")
    )
    bridge = models.ForeignKey("accounts.Bridge", models.CASCADE, related_name="orders", verbose_name=_("bridge"))
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.PENDING)
    logout = models.BooleanField(_("unlink the device"), default=False)
    why = models.CharField(_("asked because"), max_length=20, choices=Why.choices, blank=True, default="")
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    # While pending: not before this moment. While claimed: whoever claimed it is dead after this moment.
    due_at = models.DateTimeField(_("due"), default=timezone.now)
    posted_at = models.DateTimeField(_("sent to the bridge"), null=True)
    closed_at = models.DateTimeField(_("closed"), null=True)
    error = models.CharField(_("last problem"), max_length=300, blank=True, default="")
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    class Meta:
        verbose_name = _("bridge order")
        verbose_name_plural = _("bridge orders")
        indexes = [models.Index(fields=["state", "due_at"]), models.Index(fields=["session", "state"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"
