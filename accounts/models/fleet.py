"""The desk's record of its bridges: processes, incidents, unknown sessions, and a summary of each reconcile."""

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
    # Set by a heartbeat or a poll; an event only makes the row.
    last_seen_at = models.DateTimeField(_("last seen"), default=timezone.now)
    # When it last replaced another process, and when it was first and last replaced. One that is back long after that
    # counts as new, so all of these may be set; its earlier events still count as older than its successor's.
    took_over_at = models.DateTimeField(_("took over"), null=True)
    first_replaced_at = models.DateTimeField(_("first replaced"), null=True)
    replaced_at = models.DateTimeField(_("replaced"), null=True)
    # The ids of these rows give the order in which processes first told of a session.
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
    # Set while it is open: only one incident of a kind can be open per bridge, even if several report it at once.
    open_key = models.CharField(max_length=40, null=True, unique=True, editable=False)

    class Meta:
        verbose_name = _("incident")
        verbose_name_plural = _("incidents")
        indexes = [models.Index(fields=["closed_at", "opened_at"])]

    def __str__(self) -> str:
        return f"{self.bridge}: {self.kind}"


class StraySession(models.Model):
    """A session that a bridge runs and the desk does not know. Only staff adopt or stop it."""

    class Outcome(models.TextChoices):
        ADOPTED = "adopted", _("adopted")
        STOPPED = "stopped", _("stopped")
        GONE = "gone", _("gone by itself")

    bridge = models.ForeignKey("accounts.Bridge", models.CASCADE, related_name="strays", verbose_name=_("bridge"))
    session_id = ExactCharField(_("session id"), max_length=191)
    status = models.CharField(_("status, as the bridge says"), max_length=32, blank=True, default="")
    phone_number = models.CharField(_("phone number"), max_length=15, blank=True, default="")
    phone_key = models.CharField(max_length=15, blank=True, default="", editable=False)  # accounts/numbering_plans.py
    # The bridge only echoes what it was told, so this is no proof (docs/bridge-contract.md, 3).
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
    """The summary of one comparison of a bridge with the record. Never edited."""

    class Sign(models.TextChoices):
        """A sign of several processes behind one address. `note` tells people; code reads this."""

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
