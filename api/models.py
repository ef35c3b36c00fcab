"""Tokens of the operator API, and how many requests each limit refused."""

import hashlib
import secrets
from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.db.transactions import atomically
from accounts.fields import ExactCharField

TOKEN_PREFIX = "ld_"  # noqa: S105  # the prefix of each token, no secret; accounts/logs/redaction.py knows it too
USED_EVERY = 60  # seconds between two writes of last_used_at: a program may ask many times a second


class Scope(models.TextChoices):
    READ = "read"
    LINK = "link"
    MANAGE = "manage"


ALL_SCOPES = " ".join(Scope.values)


class TokenQuerySet(models.QuerySet["WorkspaceToken"]):
    def find(self, token: str) -> "WorkspaceToken | None":
        """Return the token if it may be used now; an unknown, expired or revoked one gives None."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
        fresh = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
        usable = self.filter(fresh, token_hash=digest, revoked_at__isnull=True)
        return usable.select_related("workspace").first()


class WorkspaceToken(models.Model):
    """A bearer token of one workspace; only its SHA-256 is stored, and its first letters to know it by."""

    workspace = models.ForeignKey(
        "accounts.Workspace", models.CASCADE, related_name="tokens", verbose_name=_("workspace")
    )
    name = models.CharField(_("name"), max_length=80, blank=True, default="")
    prefix = models.CharField(_("begins with"), max_length=12, editable=False)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    # Scopes with a space between them, as OAuth writes them.
    scopes = models.CharField(_("scopes"), max_length=60, default=ALL_SCOPES)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)

    objects = TokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("workspace token")
        verbose_name_plural = _("workspace tokens")

    def __str__(self) -> str:
        return self.name or self.prefix

    @classmethod
    @atomically
    def issue(
        cls, workspace_id: int, *, name: str = "", scopes: str = ALL_SCOPES, expires_in_days: int | None = None
    ) -> str:
        """Return a new token. It is shown now or never."""
        token = f"{TOKEN_PREFIX}{secrets.token_urlsafe(32)}"
        cls.objects.create(
            workspace_id=workspace_id,
            name=name,
            prefix=token[:10],
            token_hash=hashlib.sha256(token.encode()).hexdigest(),
            scopes=scopes,
            expires_at=timezone.now() + timedelta(days=expires_in_days) if expires_in_days else None,
        )
        return token

    def note_use(self) -> None:
        """Note the use, at most once a minute. Of many concurrent requests one writes, because the row decides."""
        now = timezone.now()
        before = now - timedelta(seconds=USED_EVERY)
        if self.last_used_at is None or self.last_used_at < before:
            unnoted = Q(last_used_at__isnull=True) | Q(last_used_at__lt=before)
            WorkspaceToken.objects.filter(unnoted, pk=self.pk).update(last_used_at=now)

    @atomically
    def revoke(self) -> None:
        """Safe to repeat: the first time stays."""
        WorkspaceToken.objects.filter(pk=self.pk, revoked_at__isnull=True).update(revoked_at=timezone.now())
        self.refresh_from_db(fields=["revoked_at"])


class RateLimitCount(models.Model):
    """The number of refused requests, by class of requests and owner of the budget."""

    owner = ExactCharField(_("of"), max_length=80)
    name = models.CharField(_("class"), max_length=20)
    count = models.PositiveBigIntegerField(_("count"), default=1)
    first_at = models.DateTimeField(_("first"), default=timezone.now)
    last_at = models.DateTimeField(_("last"), default=timezone.now)

    class Meta:
        verbose_name = _("refused requests")
        verbose_name_plural = _("refused requests")
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="one_count_per_owner_and_class")]

    def __str__(self) -> str:
        return f"{self.name} of {self.owner}"
