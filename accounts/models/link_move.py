"""Moves of links to other bridges: from which to which, by whom, and how far each has come."""

from django.conf import settings
from django.db import models
from django.db.models import Case, F, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class LinkMove(models.Model):
    """One move of a link with its login (accounts/reconcile/relocation.py). Without the login a phone must scan again,
    which makes a new session and is no move."""

    class State(models.TextChoices):
        WAITS_FOR_STOP = "waits_for_stop", _("waits until the old bridge has stopped it")
        STARTED = "started", _("the new bridge was told to start it")
        GIVEN_UP = "given_up", _("given up: the old bridge did not stop it")
        GIVEN_BACK = "given_back", _("given back: the login was not there")
        LAPSED = "lapsed", _("nobody waits for the stop any more")

    session = models.ForeignKey("accounts.LinkSession", models.CASCADE, related_name="moves", verbose_name=_("session"))
    from_bridge = models.ForeignKey("accounts.Bridge", models.CASCADE, related_name="+", verbose_name=_("from"))
    # Empty if that bridge was deleted, or if the move was given up before this table was made.
    to_bridge = models.ForeignKey(
        "accounts.Bridge", models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("to")
    )
    # The order to the old bridge. Retention may delete it before the move, as it does not look at this table.
    stop = models.ForeignKey(
        "accounts.BridgeOrder",
        models.DO_NOTHING,
        null=True,
        related_name="+",
        db_constraint=False,
        db_index=False,
        editable=False,
    )
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("by")
    )
    reason = models.CharField(_("reason"), max_length=500, blank=True, default="")
    state = models.CharField(_("state"), max_length=16, choices=State.choices, default=State.WAITS_FOR_STOP)
    started_at = models.DateTimeField(_("started"), default=timezone.now)
    state_changed_at = models.DateTimeField(_("state since"), default=timezone.now)
    # At most one open move per session, also where conditional constraints do not exist. Never read it.
    open_session_id = models.GeneratedField(
        expression=Case(When(state="waits_for_stop", then=F("session_id")), default=None),
        output_field=models.BigIntegerField(null=True),
        db_persist=False,
    )

    class Meta:
        verbose_name = _("move to another bridge")
        verbose_name_plural = _("moves to other bridges")
        constraints = [models.UniqueConstraint(fields=["open_session_id"], name="one_open_move_per_session")]
        indexes = [models.Index(fields=["state", "started_at"])]

    def __str__(self) -> str:
        return f"move {self.pk}"

    def advance(self, new: State) -> bool:
        """Change the state from the one that was read to `new`: the only place that does.

        False: another process has changed it, and the caller must not act on `new`.
        """
        now = timezone.now()
        if not LinkMove.objects.filter(pk=self.pk, state=self.state).update(state=new, state_changed_at=now):
            return False
        self.state, self.state_changed_at = new, now
        return True
