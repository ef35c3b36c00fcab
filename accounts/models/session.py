"""A link session: one attempt to link and, when it succeeds, the link itself. Facts, not state."""

import secrets
import string
import time
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Case, F, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.fields import ExactCharField
from accounts.lifecycle import (
    ACTION_WITHIN,
    FIRST_QR_WITHIN,
    LINE_WITHIN,
    PROVEN_AFTER,
    QUIET_AFTER,
    READY_WITHIN,
    SCAN_WITHIN,
    SOFT_ENDS,
    EndCause,
    EndReason,
    Status,
)
from accounts.models.loss import note_loss

ALPHABET = string.ascii_lowercase + string.digits


def new_session_id(workspace_id: int) -> str:
    """A new session id, the fencing token of one attempt: a bridge keeps logins by it, so it is never used twice."""
    return f"webjs_{workspace_id}_{int(time.time())}_{''.join(secrets.choice(ALPHABET) for _ in range(8))}"


class LinkSession(models.Model):
    session_id = ExactCharField(_("session id"), max_length=191, unique=True)
    account = models.ForeignKey("accounts.Account", models.CASCADE, related_name="sessions", verbose_name=_("account"))
    bridge = models.ForeignKey("accounts.Bridge", models.PROTECT, related_name="sessions", verbose_name=_("bridge"))
    started_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("started by"),
    )
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    # When the bridge had room for it; until then it waits in line, and nothing is ordered. It is set again when the
    # start goes out: the minute for the first QR code counts from then.
    admitted_at = models.DateTimeField(_("admitted"), null=True, default=timezone.now)
    first_qr_at = models.DateTimeField(_("first QR code"), null=True)
    qr_count = models.PositiveIntegerField(_("QR codes"), default=0)
    unreadable_codes = models.PositiveIntegerField(_("codes that could not be shown"), default=0)
    # The code that the page shows now, in one of the two; both are emptied when the session is scanned or ends.
    qr_svg = models.TextField(blank=True, default="")
    qr_png = models.BinaryField(null=True)
    qr_expires_at = models.DateTimeField(null=True)
    pairing_code = models.CharField(max_length=16, blank=True, default="")
    pairing_code_expires_at = models.DateTimeField(null=True)
    action_message = models.CharField(_("what the phone asks for"), max_length=500, blank=True, default="")
    authenticated_at = models.DateTimeField(_("authenticated"), null=True)
    connected_at = models.DateTimeField(_("connected"), null=True)
    # When it was last connected, and the bridge's reason when it was last lost (a word of failures.BRIDGE_REASONS, or
    # any other; empty: none).
    last_connected_at = models.DateTimeField(null=True, editable=False)
    lost_reason = models.CharField(max_length=191, blank=True, default="", editable=False)
    # When it was last lost, and how many losses in a row came less than an hour after it was connected (loss.py).
    last_lost_at = models.DateTimeField(null=True, editable=False)
    quick_losses = models.PositiveIntegerField(default=0, editable=False)
    last_seen_at = models.DateTimeField(_("last seen"), null=True)
    # When a bridge that does not own it last listed it as running (ownership.runs_elsewhere).
    rival_seen_at = models.DateTimeField(null=True, editable=False)
    # How many lists of its bridge in a row did not name it (rule "No guess").
    absent_polls = models.PositiveSmallIntegerField(_("absent in polls"), default=0, editable=False)
    # The newest event that was applied, if the bridge numbers them: older ones are stale.
    applied_boot = ExactCharField(max_length=64, blank=True, default="", editable=False)
    applied_sequence = models.PositiveBigIntegerField(null=True, editable=False)
    ended_at = models.DateTimeField(_("ended"), null=True)
    end_reason = models.CharField(_("end reason"), max_length=32, choices=EndReason.choices, blank=True, default="")
    end_cause = models.CharField(max_length=20, choices=EndCause.choices, blank=True, default="", editable=False)
    end_detail = models.CharField(_("detail"), max_length=191, blank=True, default="")
    device_jid = models.CharField(_("device"), max_length=64, blank=True, default="")
    device_conflict_at = models.DateTimeField(_("device conflict"), null=True)  # rule "Proven"
    platform = models.CharField(_("platform"), max_length=32, blank=True, default="")
    # The number that linked, if it is not the account's: wrong, or changed (rule "The phone decides").
    reported_phone = models.CharField(_("reported number"), max_length=15, blank=True, default="")
    # Since when a scanned session waits for the bridge to tell another number, or for staff to accept this one, because
    # no country gives out the number that was reported (rule "The phone decides").
    number_unclear_at = models.DateTimeField(_("number unclear since"), null=True, editable=False)
    # At most one open session per account, also where conditional constraints do not exist. Never read it.
    open_account_id = models.GeneratedField(
        expression=Case(When(ended_at__isnull=True, then=F("account_id")), default=None),
        output_field=models.BigIntegerField(null=True),
        db_persist=False,
    )

    class Meta:
        db_table = "whatsapp_sessions"
        verbose_name = _("link session")
        verbose_name_plural = _("link sessions")
        constraints = [
            models.UniqueConstraint(
                fields=["open_account_id"],
                name="one_open_session_per_account",
                violation_error_message=_("This account already has an open session."),
            )
        ]
        indexes = [
            models.Index(fields=["bridge", "ended_at"]),
            models.Index(fields=["ended_at", "started_at"]),
        ]

    def __str__(self) -> str:
        return str(self.session_id)

    def validate_constraints(self, exclude: Any = None) -> None:
        """Check the generated field as well, as for accounts, so that a form shows an error instead of failing."""
        super().validate_constraints(exclude=set(exclude or ()) - {"open_account_id"})

    @property
    def is_open(self) -> bool:
        return self.ended_at is None

    @property
    def waits_in_line(self) -> bool:
        """Whether it waits for a place at its bridge: nothing is ordered yet (accounts/pairing/waiting_line.py)."""
        return self.is_open and self.admitted_at is None

    @property
    def shows_codes(self) -> bool:
        """Whether its bridge has had room for it, and has shown a QR code."""
        return self.is_open and self.admitted_at is not None and self.first_qr_at is not None

    @property
    def ended_softly(self) -> bool:
        return self.ended_at is not None and self.end_reason in SOFT_ENDS

    @property
    def is_proven(self) -> bool:
        """Whether it is still there two minutes after it connected (rule "Proven")."""
        return self.connected_at is not None and self.connected_at < timezone.now() - timedelta(seconds=PROVEN_AFTER)

    @property
    def is_quiet(self) -> bool:
        """Whether the scan was just now: nothing may be ordered that opens a second socket (rule "Quiet time")."""
        return self.quiet_until is not None and self.quiet_until > timezone.now()

    @property
    def quiet_until(self) -> datetime | None:
        return self.authenticated_at + timedelta(seconds=QUIET_AFTER) if self.authenticated_at else None

    @property
    def ever_linked(self) -> bool:
        return self.connected_at is not None

    @property
    def waits_for_its_number(self) -> bool:
        """Whether it was scanned by a phone whose number is not known: staff look at it, nobody is thrown out."""
        return self.is_open and self.number_unclear_at is not None and not self.ever_linked

    @property
    def is_being_unlinked(self) -> bool:
        """Whether the bridge can log the device out, and was or will be told to."""
        told = self.orders.filter(logout=True).exclude(state__in=["failed", "cancelled"])
        return self.bridge.can_unlink and told.exists()

    def note_move(self, status: Status, *, at: datetime, said: str, is_lost: bool) -> None:
        """Note what later decisions need, as its account now has `status`. Called by Account.move alone."""
        if status == Status.CONNECTED:
            self.last_connected_at = at
            self.save(update_fields=["last_connected_at"])
        elif is_lost:
            note_loss(self, at=at, said=said or self.end_detail)
        elif status == Status.DISCONNECTED:
            self.lost_reason = said[:191]
            self.save(update_fields=["lost_reason"])

    def deadline(self, status: Status, since: datetime) -> tuple[datetime, EndReason] | None:
        """When the attempt lapses, and how it ends then, for an account in `status` since `since`; None: never."""
        if not self.is_open or self.waits_for_its_number:
            return None
        if status == Status.QR_SCANNING:
            return self._scan_deadline()
        if status == Status.DISCONNECTED and self.authenticated_at and not self.ever_linked:
            return self.authenticated_at + timedelta(seconds=READY_WITHIN), EndReason.NEVER_READY
        if status == Status.AUTHENTICATED:
            return since + timedelta(seconds=READY_WITHIN), EndReason.NEVER_READY
        if status == Status.ACTION_REQUIRED:
            return since + timedelta(seconds=ACTION_WITHIN), EndReason.ACTION_NOT_TAKEN
        return None

    def _scan_deadline(self) -> tuple[datetime, EndReason]:
        if self.first_qr_at:
            return self.first_qr_at + timedelta(seconds=SCAN_WITHIN), EndReason.QR_EXPIRED
        if self.admitted_at:
            return self.admitted_at + timedelta(seconds=FIRST_QR_WITHIN), EndReason.BRIDGE_UNAVAILABLE
        return self.started_at + timedelta(seconds=LINE_WITHIN), EndReason.BRIDGE_UNAVAILABLE

    def mark_scanned(self) -> None:
        """Set when it was scanned; only the first time counts. Does not save."""
        self.authenticated_at = self.authenticated_at or timezone.now()

    def mark_linked(self, *, platform: str) -> None:
        """Set when it was linked, where the first time counts, and the platform, if given. Does not save."""
        self.connected_at = self.connected_at or timezone.now()
        self.platform = platform or self.platform

    def forget_qr(self) -> list[str]:
        """Clear the codes, which are secret and no longer needed; gives the names of the fields to save."""
        self.qr_svg, self.qr_png, self.qr_expires_at = "", None, None
        self.pairing_code, self.pairing_code_expires_at = "", None
        return ["qr_svg", "qr_png", "qr_expires_at", "pairing_code", "pairing_code_expires_at"]
