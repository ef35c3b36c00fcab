"""What the desk saw and did about its bridges: processes, incidents, unknown sessions, each reconcile's summary."""

from typing import Any

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.fields import ExactCharField


class BridgeProcess(models.Model):
    """One run of a bridge, by the id that the bridge gives it in heartbeats (`boot`) and with its events."""

    bridge = models.ForeignKey("accounts.Bridge", models.CASCADE, related_name="processes", verbose_name=_("bridge"))
    boot = ExactCharField(_("process"), max_length=64)
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    # In a heartbeat or a poll; an event only makes the row.
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)
    # When it last took the place of another one, and when another one took its place. One that is back long after it
    # was replaced counts as new, so all of these may be set; what it said before stays older than its successor.
    took_over_at = models.DateTimeField(_("took over"), null=True)
    first_replaced_at = models.DateTimeField(_("first replaced"), null=True)
    replaced_at = models.DateTimeField(_("replaced"), null=True)
    # The order in which processes first told of a session is that of these rows' ids.
    told_of = models.ManyToManyField("accounts.LinkSession", related_name="+", editable=False)

    class Meta:
        verbose_name = _("bridge process")
        verbose_name_plural = _("bridge processes")
        constraints = [models.UniqueConstraint(fields=["bridge", "boot"], name="one_process_per_boot")]

    def __str__(self) -> str:
        return str(self.boot)


class Incident(models.Model):
    """One thing that is wrong with a bridge, however many sessions it touches; open until it is over."""

    class Kind(models.TextChoices):
        DOWN = "down", _("does not answer")
        MASS_LOSS = "mass_loss", _("many connections lost at once")
        ALTERNATING = "alternating", _("several processes behind one address")
        BRAKE = "brake", _("too many sessions to stop at once")
        CONTESTED = "contested", _("runs a session that another bridge owns")
        NO_LOGINS = "no_logins", _("asks for new codes for many links")

    bridge = models.ForeignKey("accounts.Bridge", models.CASCADE, related_name="incidents", verbose_name=_("bridge"))
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    summary = models.CharField(_("what was seen"), max_length=300, blank=True, default="")
    count = models.PositiveIntegerField(_("times"), default=1)
    opened_at = models.DateTimeField(_("since"), default=timezone.now)
    last_at = models.DateTimeField(_("last seen"), default=timezone.now)
    closed_at = models.DateTimeField(_("over"), null=True)
    # Set while it is open: one open incident of a kind per bridge, whoever else reports it at the same time.
    open_key = models.CharField(max_length=40, null=True, unique=True, editable=False)

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        indexes = [models.Index(fields=["closed_at", "opened_at"])]

    def __str__(self) -> str:
        return f"{self.bridge}: {self.kind}"


class StraySession(models.Model):
    """A session that a bridge runs and the desk does not know: staff adopt or stop it, nobody else does."""

    class Outcome(models.TextChoices):
        ADOPTED = "adopted", _("adopted")
        STOPPED = "stopped", _("stopped")
        GONE = "gone", _("gone by itself")

    bridge = models.ForeignKey("accounts.Bridge", models.CASCADE, related_name="strays", verbose_name=_("bridge"))
    session_id = ExactCharField(_("session id"), max_length=191)
    status = models.CharField(_("status, as the bridge says"), max_length=32, blank=True, default="")
    phone_number = models.CharField(_("phone number"), max_length=15, blank=True, default="")
    # As the bridge says: an echo of what somebody told it, no proof (docs/bridge-contract.md, 3).
    workspace_said = models.CharField(_("workspace, as the bridge says"), max_length=40, blank=True, default="")
    first_seen_at = models.DateTimeField(_("first seen"), default=timezone.now)
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)
    outcome = models.CharField(_("what became of it"), max_length=8, choices=Outcome.choices, blank=True, default="")
    settled_at = models.DateTimeField(_("settled"), null=True)

    class Meta:
        verbose_name = _("unknown session")
        verbose_name_plural = _("unknown sessions")
        constraints = [models.UniqueConstraint(fields=["bridge", "session_id"], name="one_stray_per_session")]
        indexes = [models.Index(fields=["settled_at", "last_seen_at"])]

    def __str__(self) -> str:
        return str(self.session_id)


class ReconcileRun(models.Model):
    """What one comparison of a bridge with the record saw and did. Never edited."""

    class Sign(models.TextChoices):
        """Of several processes behind one address. `note` says it to people; the code reads this."""

        SEVERAL = "several", "several"
        CAME_BACK = "came_back", "came back"

    bridge = models.ForeignKey("accounts.Bridge", models.CASCADE, related_name="reconciles", verbose_name=_("bridge"))
    at = models.DateTimeField(_("when"), default=timezone.now)
    observing = models.BooleanField(_("only observed"), default=False)
    expected = models.PositiveIntegerField(_("should run"), default=0)
    running = models.PositiveIntegerField(_("runs"), default=0)
    absent = models.PositiveIntegerField(_("absent"), default=0)
    restored = models.PositiveIntegerField(_("restored"), default=0)
    stopped = models.PositiveIntegerField(_("stopped"), default=0)
    unknown = models.PositiveIntegerField(_("unknown"), default=0)
    note = models.CharField(_("note"), max_length=300, blank=True, default="")
    sign = models.CharField(max_length=10, choices=Sign.choices, blank=True, default="", editable=False)

    class Meta:
        verbose_name = _("reconcile")
        verbose_name_plural = _("reconciles")
        indexes = [models.Index(fields=["bridge", "-at"])]

    def __str__(self) -> str:
        return f"{self.bridge} {self.at:%F %T}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk:
            raise TypeError("A summary is written once.")
        super().save(*args, **kwargs)
