"""An account: a phone number in a workspace. Its `status` is the only state there is."""

import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.db import connection, models, transaction
from django.db.models import Case, F, Q, When
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts import phones
from accounts.broadcasts import publish
from accounts.db import locks
from accounts.lifecycle import LOST, REMOVED_ON_THE_PHONE, IllegalMove, Status, may_move
from accounts.models.bridge import Obstacle
from accounts.models.history import Transition
from accounts.models.loss import look_for_flap
from accounts.numbering_plans import identity_key

if TYPE_CHECKING:
    from accounts.models.session import LinkSession
    from accounts.models.user import User


class AccountQuerySet(models.QuerySet["Account"]):
    def live(self) -> "AccountQuerySet":
        return self.filter(deleted_at__isnull=True)

    def with_phone(self, digits: str) -> "AccountQuerySet":
        """Live accounts of this phone, in whatever form their number is kept, or that have changed to this number. The
        one that holds the number comes first, its twins after it."""
        key = identity_key(digits)
        found = self.live().filter(Q(phone_key=key) | Q(new_phone_key=key))
        holds = Case(When(phone_key=key, twin_of__isnull=True, then=0), default=1)
        return found.order_by(holds, "pk")

    def update(self, **values: Any) -> int:
        """Keep the key beside its number, as `save` does."""
        if "phone_number" in values:
            number = values["phone_number"]
            values = {"phone_key": identity_key(number) if number else None} | values
        return super().update(**values)

    def lock(self, pk: int) -> "Account":
        """The account, locked until the transaction ends. On SQLite the transaction itself is the lock."""
        return locks.row(Account, pk=pk)


class Account(models.Model):
    class Provider(models.TextChoices):
        WEBJS = "webjs", "WhatsApp Web"
        META = "meta", "Meta Cloud API"

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    workspace = models.ForeignKey(
        "accounts.Workspace", models.PROTECT, verbose_name=_("workspace"), related_name="accounts"
    )
    label = models.CharField(_("label"), max_length=120, blank=True)
    phone_number = models.CharField(
        _("phone number"),
        max_length=15,
        null=True,
        blank=True,
        validators=[phones.validate],
        help_text=_("Country code and digits only. Empty until a phone has linked."),
    )
    # Phones are compared and looked up by this (accounts/numbering_plans.py).
    phone_key = models.CharField(max_length=15, null=True, editable=False)
    # The number that the linked phone reports since it was changed there, until staff take it over.
    new_phone = models.CharField(_("new number"), max_length=15, blank=True, default="", editable=False)
    new_phone_key = models.CharField(max_length=15, blank=True, default="", editable=False)
    # The live account that holds the number of this one's phone, until staff decide. Both go on working.
    twin_of = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="twins", editable=False, verbose_name=_("twin of")
    )
    status = models.CharField(
        _("status"), max_length=20, choices=Status.choices, default=Status.INACTIVE, editable=False
    )
    status_changed_at = models.DateTimeField(_("status since"), default=timezone.now, editable=False)
    # It counts each change that a watcher can see: status, QR code, deadline, place in line.
    version = models.PositiveBigIntegerField(default=1, editable=False)
    provider_type = models.CharField(_("provider"), max_length=10, choices=Provider.choices, default=Provider.WEBJS)
    is_active = models.BooleanField(_("active"), default=True)
    # The latest session, open or ended. Not OneToOne: that deadlocks.
    current_session = models.ForeignKey(
        "accounts.LinkSession", models.SET_NULL, null=True, blank=True, related_name="+", editable=False
    )
    # When a phone was first connected. If never, it is empty, and a cleanup may delete the account (rule "No guess").
    first_linked_at = models.DateTimeField(null=True, editable=False)
    # The last forced reset: sessions that were started before it are never reopened, not even after a soft end.
    reset_at = models.DateTimeField(_("last reset"), null=True, blank=True, editable=False)
    # The last start that no bridge could take, and why.
    refused_at = models.DateTimeField(null=True, editable=False)
    refused_because = models.CharField(max_length=16, choices=Obstacle.choices, blank=True, default="", editable=False)
    merged_into = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="merged_from", editable=False
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated"), auto_now=True)
    deleted_at = models.DateTimeField(_("deleted"), null=True, blank=True, editable=False)
    # Conditional constraints are silently skipped on MariaDB; a nullable generated column is the portable way.
    # Query by it, never read it: after save() the value in Python is stale.
    live_phone = models.GeneratedField(
        expression=Case(When(deleted_at__isnull=True, twin_of__isnull=True, then=F("phone_key")), default=None),
        output_field=models.CharField(max_length=15, null=True),
        db_persist=False,
    )

    objects = AccountQuerySet.as_manager()

    class Meta:
        db_table = "whatsapp_accounts"
        verbose_name = _("account")
        verbose_name_plural = _("accounts")
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "live_phone"],
                name="one_live_account_per_phone",
                violation_error_message=_("Another account of this workspace already has this phone number."),
            )
        ]
        indexes = [
            models.Index(fields=["workspace", "status"]),
            models.Index(fields=["status", "status_changed_at"]),
            models.Index(fields=["phone_key"]),
            models.Index(fields=["new_phone_key"]),
        ]
        permissions = [
            ("reset_account", "Can force a reset"),
            ("renew_qr", "Can order a new QR code"),
            ("see_codes", "Can see QR codes and pairing codes"),
        ]

    def __str__(self) -> str:
        return self.label or f"account {self.pk}"  # never the phone number: this lands in logs

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        """Keep the key beside its number, and let another account hold the number that this one has given up."""
        changes_hands = update_fields is None or not {"phone_number", "deleted_at"}.isdisjoint(update_fields)
        if changes_hands:
            self.set_phone_key()
            derived = {"phone_key", "new_phone", "new_phone_key", "twin_of"}
            update_fields = None if update_fields is None else {*update_fields, *derived}
        is_new = self._state.adding
        super().save(*args, update_fields=update_fields, **kwargs)
        if changes_hands and not is_new:
            self._free_twins()

    def validate_constraints(self, exclude: Any = None) -> None:
        """Check the constraint in a ModelForm, which skips what it does not edit: a duplicate would be a 500.

        So the generated field, the fields that it is made from and the workspace are not excluded.
        """
        self.set_phone_key()
        super().validate_constraints(
            exclude=set(exclude or ()) - {"live_phone", "phone_key", "twin_of", "deleted_at", "workspace"}
        )

    def set_phone_key(self) -> None:
        """Set what follows from the number: its key; no new number if it is this one, and no twin with another one."""
        self.phone_key = identity_key(self.phone_number) if self.phone_number else None
        if self.new_phone_key == self.phone_key:
            self.new_phone = self.new_phone_key = ""
        if self.twin_of is not None and self.twin_of.phone_key not in self.known_keys():
            self.twin_of = None

    def _free_twins(self) -> None:
        """The first of the twins that have this account's number no more holds theirs; the others are its twins."""
        left = self.twins.live()
        if self.deleted_at is None and self.phone_key is not None:
            left = left.exclude(Q(phone_key=self.phone_key) | Q(new_phone_key=self.phone_key))
        heir = left.order_by("pk").first()
        if heir is not None:
            left.exclude(pk=heir.pk).update(twin_of=heir)
            Account.objects.filter(pk=heir.pk).update(twin_of=None)

    def known_keys(self) -> set[str]:
        """The identity keys that this account's phone may report: of its number, and of the one it has changed to."""
        return {key for key in (self.phone_key, self.new_phone_key) if key}

    def is_this_phone(self, digits: str) -> bool:
        return identity_key(digits) in self.known_keys()

    @property
    def is_placeholder(self) -> bool:
        """Whether it was made for an attempt and has no phone: none has linked it, and none was given."""
        return self.phone_number is None

    def resolve(self) -> "Account":
        """The account that this one lives on as, after merges."""
        account = self
        while account.merged_into is not None:
            account = account.merged_into
        return account

    def was_linked(self) -> bool:
        """Whether a phone was ever connected."""
        return self.first_linked_at is not None

    def devices_left(self) -> int:
        """How many devices of ours may still be on the phone: sessions scanned, ended, and not unlinked by a bridge."""
        scanned = self.sessions.filter(authenticated_at__isnull=False, ended_at__isnull=False)
        gone = scanned.exclude(end_reason__in=REMOVED_ON_THE_PHONE).select_related("bridge")
        return sum(not session.is_being_unlinked for session in gone)

    def move(
        self,
        new: Status,
        *,
        trigger: str,
        session: "LinkSession | None" = None,
        actor: "User | None" = None,
        reason: str = "",
        said: str = "",
    ) -> None:
        """Change the status: the only place that does. The caller holds the account's lock (`objects.lock`).

        `reason` is for people, in the history. `said` is the bridge's own reason for a loss, if it gave one.
        Raises IllegalMove. Writes the history row in the same transaction, so that each row's `old` is the
        previous row's `new`, even with other writers.
        """
        old = Status(self.status)
        if not may_move(old, new):
            raise IllegalMove(f"{old} -> {new} by {trigger}")
        self.status = new
        self.status_changed_at = timezone.now()
        if new == Status.CONNECTED:
            self.first_linked_at = self.first_linked_at or self.status_changed_at
        is_lost = old == Status.CONNECTED and new in LOST
        if session is not None:
            session.note_move(new, at=self.status_changed_at, said=said, is_lost=is_lost)
        self.note(trigger=trigger, old=old, session=session, actor=actor, reason=reason)
        if session is not None:
            look_for_flap(session, account_id=self.pk, is_lost=is_lost)
        self.touch("status", "status_changed_at", "first_linked_at")

    def note(
        self,
        *,
        trigger: str,
        old: Status | None = None,
        session: "LinkSession | None" = None,
        actor: "User | None" = None,
        reason: str = "",
    ) -> None:
        """Write a history row; without `old`, the status has not changed."""
        Transition.objects.create(
            account=self,
            session=session,
            old=old or self.status,
            new=self.status,
            trigger=trigger,
            actor=actor,
            reason=reason,
        )

    def touch(self, *fields: str) -> None:
        """Save `fields`, count the change, and tell the watchers after the commit. The caller holds the lock."""
        assert connection.in_atomic_block
        self.version += 1
        self.save(update_fields=["version", "updated_at", *fields])
        transaction.on_commit(lambda: publish(self.pk, self.version), robust=True)
