"""The inbox: the events of bridges, and the result of each."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.fields import ExactCharField


class WebhookEvent(models.Model):
    """A lifecycle event as it came, without QR data and media."""

    class State(models.TextChoices):
        RECEIVED = "received", _("received")
        APPLIED = "applied", _("applied")
        IGNORED = "ignored", _("ignored")
        FAILED = "failed", _("failed")
        DEAD = "dead", _("dead")

    bridge = models.ForeignKey("accounts.Bridge", models.CASCADE, related_name="events", verbose_name=_("bridge"))
    session = models.ForeignKey(
        "accounts.LinkSession", models.CASCADE, related_name="events", verbose_name=_("session")
    )
    event = models.CharField(_("event"), max_length=60)
    payload = models.JSONField(_("data"))
    # The names of its fields whose values were not taken as they came (webhooks/events/fields.py).
    emptied = models.CharField(_("not readable"), max_length=500, blank=True, default="")
    # X-Event-Id, stable over retries, where the bridge sends one.
    event_id = ExactCharField(_("event id"), max_length=64, null=True)
    # A hash of timestamp and signature: the very same request again is a replay; a retry is signed anew.
    replay_key = models.CharField(max_length=64, editable=False)
    boot = ExactCharField(_("bridge run"), max_length=64, blank=True, default="")
    sequence = models.PositiveBigIntegerField(_("sequence"), null=True)
    state = models.CharField(_("state"), max_length=10, choices=State.choices, default=State.RECEIVED)
    reason = models.CharField(_("why ignored"), max_length=40, blank=True, default="")
    error = models.CharField(_("last problem"), max_length=300, blank=True, default="")
    attempts = models.PositiveSmallIntegerField(_("tries"), default=1)
    # While received: the process that works on it counts as dead after this. While failed: the earliest next try.
    due_at = models.DateTimeField(_("next try"), default=timezone.now)
    received_at = models.DateTimeField(_("received"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        verbose_name = _("webhook event")
        verbose_name_plural = _("inbox")
        constraints = [
            models.UniqueConstraint(fields=["bridge", "event_id"], name="one_event_per_bridge_and_id"),
            models.UniqueConstraint(fields=["bridge", "replay_key"], name="one_event_per_request"),
        ]
        indexes = [models.Index(fields=["state", "due_at"]), models.Index(fields=["session", "-id"])]

    def __str__(self) -> str:
        return f"{self.event} {self.pk}"

    def finish(self, why_ignored: str) -> None:
        """An empty `why_ignored` means that it was applied. The caller holds the row's lock."""
        self.state = self.State.IGNORED if why_ignored else self.State.APPLIED
        self.reason, self.error, self.finished_at = why_ignored, "", timezone.now()
        self.save(update_fields=["state", "reason", "error", "finished_at"])

    @property
    def is_in_work(self) -> bool:
        """Whether a request or the sweep may still be at it."""
        return self.state == self.State.RECEIVED and self.due_at > timezone.now()


class UnmatchedTraffic(models.Model):
    """Events that changed nothing: one row with a count for each bridge, session id, event and reason."""

    class Reason(models.TextChoices):
        UNKNOWN_SESSION = "unknown_session", _("unknown session")
        NOT_OWNER = "not_owner", _("another bridge owns the session")
        ENDED = "ended", _("the session has ended")
        UNKNOWN_EVENT = "unknown_event", _("unknown event")
        DROPPED = "dropped", _("not kept by design")

    bridge = models.ForeignKey("accounts.Bridge", models.CASCADE, related_name="+", verbose_name=_("bridge"))
    session_id = ExactCharField(_("session id"), max_length=191)
    event = ExactCharField(_("event"), max_length=60)
    reason = models.CharField(_("reason"), max_length=20, choices=Reason.choices)
    count = models.PositiveBigIntegerField(_("count"), default=1)
    first_at = models.DateTimeField(_("first"), default=timezone.now)
    last_at = models.DateTimeField(_("last"), default=timezone.now)

    class Meta:
        verbose_name = _("unmatched traffic")
        verbose_name_plural = _("unmatched traffic")
        constraints = [
            models.UniqueConstraint(
                fields=["bridge", "session_id", "event", "reason"], name="one_count_per_kind_of_traffic"
            )
        ]

    def __str__(self) -> str:
        return f"{self.event} ({self.reason})"


class StoredReport(models.Model):
    """A report of a bridge, other than an event. It is kept as it came and changes nothing; a repetition is counted."""

    class Kind(models.TextChoices):
        CHATS = "chats", _("chats of a session")
        CLEANUP = "cleanup", _("cleanup log")

    bridge = models.ForeignKey("accounts.Bridge", models.CASCADE, related_name="reports", verbose_name=_("bridge"))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    payload = models.JSONField(_("data"))
    digest = models.CharField(max_length=64, editable=False)  # SHA-256 of the body as it came
    count = models.PositiveBigIntegerField(_("count"), default=1)
    first_at = models.DateTimeField(_("first"), default=timezone.now)
    last_at = models.DateTimeField(_("last"), default=timezone.now)

    class Meta:
        verbose_name = _("report of a bridge")
        verbose_name_plural = _("reports of bridges")
        constraints = [
            models.UniqueConstraint(fields=["bridge", "kind", "digest"], name="one_report_per_bridge_and_body")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"


class SignedRequest(models.Model):
    """A signed request that may count only once, for as long as its signature is good (webhooks/replays.py)."""

    key = models.CharField(max_length=64, primary_key=True)  # signature.replay_key
    first_seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = _("signed request")
        verbose_name_plural = _("signed requests")
        indexes = [models.Index(fields=["first_seen_at"])]

    def __str__(self) -> str:
        return self.key


class UnsignedTraffic(models.Model):
    """How many unsigned requests came from an address. Nothing else of them is read or kept."""

    source = models.CharField(_("from"), max_length=45, unique=True)  # the longest IPv6 address
    count = models.PositiveBigIntegerField(_("count"), default=1)
    first_at = models.DateTimeField(_("first"), default=timezone.now)
    last_at = models.DateTimeField(_("last"), default=timezone.now)

    class Meta:
        verbose_name = _("unsigned traffic")
        verbose_name_plural = _("unsigned traffic")

    def __str__(self) -> str:
        return self.source
