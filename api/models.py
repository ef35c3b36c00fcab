"""Tokens of the operator API."""

import hashlib
import secrets

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class WorkspaceToken(models.Model):
    """A bearer token of one workspace; only its SHA-256 is stored, and its first letters to know it by."""

    workspace = models.ForeignKey(
        "accounts.Workspace", models.CASCADE, related_name="tokens", verbose_name=_("workspace")
    )
    name = models.CharField(_("name"), max_length=80, blank=True, default="")
    prefix = models.CharField(_("begins with"), max_length=12, editable=False)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)

    class Meta:
        verbose_name = _("workspace token")
        verbose_name_plural = _("workspace tokens")

    def __str__(self) -> str:
        return self.name or self.prefix

    @classmethod
    def issue(cls, workspace_id: int, *, name: str = "") -> str:
        """A new token, shown now or never."""
        token = f"ld_{secrets.token_urlsafe(32)}"
        digest = hashlib.sha256(token.encode()).hexdigest()
        cls.objects.create(workspace_id=workspace_id, name=name, prefix=token[:10], token_hash=digest)
        return token

    def revoke(self) -> None:
        if self.revoked_at is None:
            self.revoked_at = timezone.now()
            self.save(update_fields=["revoked_at"])
