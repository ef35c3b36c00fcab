"""The token of a public linking page."""

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.db.transactions import atomically

if TYPE_CHECKING:
    from accounts.models.account import Account
    from accounts.models.user import User


def hash_token(token: str) -> str:
    """Plain SHA-256 is enough: the token has 256 random bits, so it cannot be guessed and needs no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


class InvitationQuerySet(models.QuerySet["LinkInvitation"]):
    def usable(self) -> "InvitationQuerySet":
        return self.filter(revoked_at__isnull=True, expires_at__gt=timezone.now())

    def find(self, token: str) -> "LinkInvitation | None":
        """The invitation of this token, usable or not; None if there never was one."""
        return self.select_related("account__workspace").filter(token_hash=hash_token(token)).first()


class LinkInvitation(models.Model):
    account = models.ForeignKey(
        "accounts.Account", models.CASCADE, related_name="invitations", verbose_name=_("account")
    )
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("created by")
    )
    created_at = models.DateTimeField(_("created"), default=timezone.now)
    expires_at = models.DateTimeField(_("expires"))
    revoked_at = models.DateTimeField(_("revoked"), null=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")

    def __str__(self) -> str:
        return f"invitation {self.pk}"

    @classmethod
    @atomically
    def issue(cls, account: "Account", *, created_by: "User | None" = None) -> str:
        """Make an invitation and give its URL, which cannot be shown again: only a hash of its token is stored."""
        token = secrets.token_urlsafe(32)
        cls.objects.create(
            account=account,
            token_hash=hash_token(token),
            created_by=created_by,
            expires_at=timezone.now() + timedelta(days=settings.LINKDESK_INVITATION_DAYS),
        )
        return f"{settings.PUBLIC_URL}/link/{token}/"

    @property
    def is_usable(self) -> bool:
        return self.revoked_at is None and self.expires_at > timezone.now()

    @atomically
    def revoke(self) -> None:
        """Safe to repeat: the first time stays."""
        LinkInvitation.objects.filter(pk=self.pk, revoked_at__isnull=True).update(revoked_at=timezone.now())
        self.refresh_from_db(fields=["revoked_at"])
