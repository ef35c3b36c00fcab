"""Orders: what the desk wants a bridge to do, kept until evidence shows that it was done."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.fields import ExactCharField
from accounts.lifecycle import IllegalMove, Status


class BridgeOrderQuerySet(models.QuerySet["BridgeOrder"]):
    def move(
        self,
        old: "Collection[BridgeOrder.State]",
        new: "BridgeOrder.State",
        *,
        due_in: float = 0,
        setback: "BridgeOrder.Setback | None" = None,
        error: str = "",
        **values: Any,
    ) -> int:
        """Change the state of orders that are in `old`: the only place that does. Gives how many were changed.

        Only one of two twins can change an order: the old state is a condition of the UPDATE. An order that stays open
        is due in `due_in` seconds, any other is closed now. Without a `setback` the last problem stays. Raises
        IllegalMove.
        """
        for state in old:
            if new not in BridgeOrder.MOVES[state]:
                raise IllegalMove(f"order: {state} -> {new}")
        now = timezone.now()
        if new in BridgeOrder.UNDER_WAY:
            values["due_at"] = now + timedelta(seconds=due_in)
        else:
            values["closed_at"] = now
        if setback is not None:
            values |= {"setback": setback, "error": error[:300]}
        return self.filter(state__in=old).update(state=new, **values)


class BridgeOrder(models.Model):
    class Kind(models.TextChoices):
        START = "start", _("start")
        RECONNECT = "reconnect", _("reconnect")
        STOP = "stop", _("stop")
        CHECK = "check", _("check")
        PAIRING_CODE = "pairing_code", _("pairing code")
        TEST_MESSAGE = "test_message", _("test message")

    class Why(models.TextChoices):
        """The reason why we asked the bridge (rule "Ask the bridge"), or ordered something on our own."""

        LATE_QR = "late_qr", _("a QR code long after the scan")
        REPEATED = "repeated", _("an event like one just before")
        OVERTAKEN = "overtaken", _("an event older than what came after it")
        PAIR = "pair", _("somebody wants to pair a connected account")
        RECOVERY = "recovery", _("the connection was lost")
        RECONCILE = "reconcile", _("the bridge's sessions differ from the record")
        STAFF = "staff", _("asked for by staff")
        MOVE = "move", _("move to another bridge")
        NUMBER = "number", _("the number of the phone is not clear")

    class State(models.TextChoices):
        PENDING = "pending", _("waiting")
        CLAIMED = "claimed", _("being delivered")
        UNCLEAR = "unclear", _("delivered, answer unclear")
        CONFIRMED = "confirmed", _("done")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    class Setback(models.TextChoices):
        """The last problem, for programs; its text is in `error`."""

        NONE = ""
        WORKER_DIED = "worker_died"
        TRY_FAILED = "try_failed"  # not reached, refused or no clear answer; the first one is in the account's history

    UNDER_WAY = (State.PENDING, State.CLAIMED, State.UNCLEAR)
    MOVES: dict[State, frozenset[State]] = {
        State.PENDING: frozenset({State.CLAIMED, State.CANCELLED}),
        State.CLAIMED: frozenset({State.PENDING, State.UNCLEAR, State.CONFIRMED, State.FAILED, State.CANCELLED}),
        # To itself: the claim had run out before the answer came, which was unclear as well.
        State.UNCLEAR: frozenset({State.PENDING, State.UNCLEAR, State.CONFIRMED, State.FAILED, State.CANCELLED}),
        # A closed order stays closed. To have the same done again, write another one.
        State.CONFIRMED: frozenset(),
        State.FAILED: frozenset(),
        State.CANCELLED: frozenset(),
    }
    OPENING = (Kind.START, Kind.RECONNECT)  # these may open a client at the bridge

    session = models.ForeignKey(
        "accounts.LinkSession", models.CASCADE, related_name="orders", verbose_name=_("session")
    )
    bridge = models.ForeignKey("accounts.Bridge", models.CASCADE, related_name="orders", verbose_name=_("bridge"))
    kind = models.CharField(_("kind"), max_length=12, choices=Kind.choices)
    state = models.CharField(_("state"), max_length=12, choices=State.choices, default=State.PENDING)
    logout = models.BooleanField(_("unlink the device"), default=False)
    why = models.CharField(_("asked because"), max_length=20, choices=Why.choices, blank=True, default="")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("by")
    )
    # The phone that a pairing code is for, or a test message goes to.
    phone_number = models.CharField(_("phone number"), max_length=15, blank=True, default="")
    # The id of the test message that was sent: its acks prove that it arrived.
    message_id = ExactCharField(_("message id"), max_length=255, blank=True, default="")
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    # While pending, it is not posted before this. While claimed, its worker counts as dead after this.
    due_at = models.DateTimeField(_("due"), default=timezone.now)
    posted_at = models.DateTimeField(_("sent to the bridge"), null=True)
    closed_at = models.DateTimeField(_("closed"), null=True)
    error = models.CharField(_("last problem"), max_length=300, blank=True, default="")
    setback = models.CharField(max_length=12, choices=Setback.choices, blank=True, default=Setback.NONE, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    objects = BridgeOrderQuerySet.as_manager()

    class Meta:
        verbose_name = _("bridge order")
        verbose_name_plural = _("bridge orders")
        indexes = [
            models.Index(fields=["state", "due_at"]),
            models.Index(fields=["session", "state"]),
            models.Index(fields=["bridge", "state"]),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.pk}"

    @property
    def is_start(self) -> bool:
        return self.kind in self.OPENING

    @property
    def is_wanted(self) -> bool:
        """Whether it must still go out: not a stop if its session was reopened, and nothing but a stop if it has ended.

        A rival of the owner only ever gets a stop. A reconnect is not sent if the link has come back meanwhile.
        """
        may_run = self.bridge_id == self.session.bridge_id and self.session.is_open
        if self.kind == self.Kind.STOP:
            return not may_run
        if self.kind == self.Kind.RECONNECT and self.why == self.Why.RECOVERY:
            return may_run and self.session.account.status == Status.DISCONNECTED
        return may_run

    @property
    def unlinks(self) -> bool:
        """Whether it must unlink the device, and its bridge can do that."""
        return self.kind == self.Kind.STOP and self.logout and self.bridge.can_unlink

    @property
    def pause(self) -> float:
        """Seconds until its next try: 1, 2, 4, 8, then 15; for a stop they grow to 10 minutes."""
        return min(2.0 ** min(self.attempts - 1, 10), 600 if self.kind == self.Kind.STOP else 15)
