"""A bridge: a process that speaks the WhatsApp Web protocol, and the secrets we share with it."""

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.db import models
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts.db.transactions import atomically
from accounts.fields import EncryptedTextField


class Obstacle(models.TextChoices):
    """Why a bridge gets no new session, or why no bridge could be found for one (accounts/bridges/choosing.py)."""

    NO_BRIDGE = "no_bridge", _("no bridge")
    NEVER_HEARD = "never_heard", _("never heard of")
    SILENT = "silent", _("not heard of lately")
    DRAINING = "draining", _("draining")
    LEAVING = "shutting_down", _("is shutting down")
    NO_WEIGHT = "weight_0", _("weight 0")
    BAD_VERSION = "bad_version", _("a version of its library that is known to be bad")
    FULL = "full", _("full")
    SEVERAL = "several", _("several reasons")


class Bridge(models.Model):
    name = models.CharField(_("name"), max_length=80, unique=True)
    # A CharField, because Django's URLField refuses http://bridge:3001.
    url = models.CharField(
        _("URL"),
        max_length=255,
        validators=[URLValidator(schemes=["http", "https"], regex=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")],
        help_text=_("Where its HTTP API answers, such as http://10.0.0.5:3001"),
    )
    library = models.CharField(_("library"), max_length=60, blank=True, default="")
    version = models.CharField(_("version"), max_length=40, blank=True, default="")
    capabilities = models.JSONField(
        _("capabilities"),
        default=list,
        blank=True,
        help_text=_('As its /health names them, such as "logout".'),
    )
    capacity = models.PositiveIntegerField(_("capacity"), default=100, help_text=_("Sessions it may run at once."))
    weight = models.PositiveIntegerField(_("weight"), default=1, help_text=_("Its share of new sessions; 0: none."))
    pairings_at_once = models.PositiveIntegerField(
        _("pairings at once"), default=5, help_text=_("Attempts to link that it serves at the same time; others wait.")
    )
    draining = models.BooleanField(_("draining"), default=False, help_text=_("Takes nothing new; keeps what it runs."))
    # The bridge says this with each heartbeat: it is shutting down, and refuses new sessions.
    says_draining = models.BooleanField(default=False, editable=False)
    says_draining_since = models.DateTimeField(null=True, editable=False)
    workspaces = models.ManyToManyField(
        "accounts.Workspace",
        blank=True,
        related_name="bridges",
        verbose_name=_("serves"),
        help_text=_("None chosen: all workspaces."),
    )
    last_heard_at = models.DateTimeField(_("last heard of"), null=True, blank=True, editable=False)
    # Since when it was heard without a break of presence.UP_WITHIN.
    heard_since = models.DateTimeField(_("heard without a break since"), null=True, blank=True, editable=False)
    last_heartbeat_at = models.DateTimeField(_("last heartbeat"), null=True, blank=True, editable=False)
    last_polled_at = models.DateTimeField(_("last polled"), null=True, blank=True, editable=False)
    # The id of its process, if it gives one: a new id means that it was started anew.
    boot = models.CharField(_("process"), max_length=64, blank=True, default="", editable=False)
    booted_at = models.DateTimeField(_("started"), null=True, blank=True, editable=False)
    # Since when orders get no good answer, and until when the others wait; both are empty while all is well.
    failing_since = models.DateTimeField(_("refuses orders since"), null=True, blank=True, editable=False)
    orders_wait_until = models.DateTimeField(_("next order"), null=True, blank=True, editable=False)
    last_error = models.CharField(_("last problem"), max_length=200, blank=True, default="", editable=False)
    sessions_reported = models.PositiveIntegerField(_("sessions it says it runs"), null=True, editable=False)
    # Since when it signs by version 2 of the signature; version 1 is refused from then on.
    version_2_since = models.DateTimeField(_("signs by version 2 since"), null=True, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("bridge")
        verbose_name_plural = _("bridges")

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse two rows with one URL: each would list the same sessions, and look like a rival of the other."""
        rows = {row.pk: row for row in Bridge.objects.only("name", "url")}
        before = rows.pop(self.pk, None)
        if before is not None and _place(before.url) == _place(self.url):
            return  # rows that share a URL already can still be edited, such as to drain one
        for row in rows.values():
            if _place(row.url) == _place(self.url):
                text = _(
                    "The bridge %(name)s has this URL already. Two rows of one process stop each other's links. "
                    "Edit that row instead, or change its URL first."
                )
                raise ValidationError({"url": ValidationError(text, params={"name": row.name})})

    def secrets(self, kind: "BridgeSecret.Kind") -> list[str]:
        """The values of its active secrets, newest first."""
        active = self.credentials.filter(kind=kind, retired_at__isnull=True)
        return [credential.value for credential in active.order_by("-pk")]

    @property
    def can_unlink(self) -> bool:
        """Whether it can log the device out at WhatsApp; otherwise only the phone can (rule "Replaced or reset")."""
        return self._is_capable_of("logout")

    @property
    def offers_codes(self) -> bool:
        """Whether it can link by a code that is typed on the phone."""
        return self._is_capable_of("pairing_code")

    @property
    def is_draining(self) -> bool:
        """Whether it takes nothing new, because staff or the bridge itself said so."""
        return self.draining or self.says_draining

    def draining_since(self, now: datetime) -> datetime:
        """Since when it has said without a break that it drains; `now` if it says so for the first time."""
        return self.says_draining_since if self.says_draining and self.says_draining_since else now

    def serves(self, workspace_id: int) -> bool:
        served = set(self.workspaces.values_list("pk", flat=True))
        return not served or workspace_id in served

    @atomically
    def allow_version_1(self) -> bool:
        """Take version 1 of the signature again, until the next request with version 2. False: it was taken already."""
        refused = Bridge.objects.filter(pk=self.pk, version_2_since__isnull=False)
        return bool(refused.update(version_2_since=None))

    def _is_capable_of(self, name: str) -> bool:
        return isinstance(self.capabilities, list) and name in self.capabilities


def _place(url: str) -> tuple[str, str, str]:
    """The parts of a URL, equal for all URLs of one process: scheme and host in lower case, no slash at the end.

    It never raises: text that is not a URL is refused elsewhere.
    """
    scheme, _colon, rest = url.partition("://")
    host, _slash, path = rest.partition("/")
    return scheme.lower(), host.lower(), path.rstrip("/")


class BridgeSecret(models.Model):
    """One shared secret. Two of a kind may be active: that is how they are rotated."""

    class Kind(models.TextChoices):
        HMAC = "hmac", _("webhook signature")
        API_KEY = "api_key", _("API key")

    bridge = models.ForeignKey(Bridge, models.CASCADE, related_name="credentials", verbose_name=_("bridge"))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices)
    value = EncryptedTextField(_("value"))
    fingerprint = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    retired_at = models.DateTimeField(_("retired"), null=True, blank=True)

    class Meta:
        verbose_name = _("bridge secret")
        verbose_name_plural = _("bridge secrets")
        constraints = [
            # A shared secret would let one bridge speak for another.
            models.UniqueConstraint(
                fields=["kind", "fingerprint"],
                name="one_bridge_per_secret",
                violation_error_message=_("This secret is already in use. Every bridge needs its own."),
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.bridge}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.fingerprint = self.fingerprint_of(self.value)
        super().save(*args, **kwargs)

    def clean(self) -> None:
        self.fingerprint = self.fingerprint_of(self.value or "")

    def validate_constraints(self, exclude: Any = None) -> None:
        """Check the fingerprint's constraint in a ModelForm as well, which skips it as a field that nobody edits."""
        super().validate_constraints(exclude=set(exclude or ()) - {"fingerprint"})

    @atomically
    def retire(self) -> None:
        """Safe to repeat: the first time stays."""
        BridgeSecret.objects.filter(pk=self.pk, retired_at__isnull=True).update(retired_at=timezone.now())
        self.refresh_from_db(fields=["retired_at"])

    @staticmethod
    def fingerprint_of(value: str) -> str:
        """A keyed hash, so that a short secret cannot be guessed from a stolen table."""
        return salted_hmac("accounts.BridgeSecret", value, algorithm="sha256").hexdigest()
