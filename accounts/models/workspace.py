from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts import phones


def default_country() -> str:
    """For a new workspace."""
    return str(settings.LINKDESK_COUNTRY)


def is_country(code: str) -> None:
    if code not in phones.COUNTRIES:
        raise ValidationError(_("“%(code)s” is no country. Write its two letters, such as ID.") % {"code": code})


class Workspace(models.Model):
    """A customer: owns accounts, has members, is served by bridges."""

    name = models.CharField(_("name"), max_length=120)
    # ISO 3166, two letters; empty: numbers are written with their country code only (accounts/phones.py).
    country = models.CharField(_("country"), max_length=2, blank=True, default=default_country, validators=[is_country])
    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, verbose_name=_("members"), related_name="workspaces", blank=True
    )
    # Requests a minute; empty: what the settings say (webhooks/rate_limits.py).
    messages_per_minute = models.PositiveIntegerField(_("messages a minute, per open session"), null=True, blank=True)
    lifecycle_per_minute = models.PositiveIntegerField(_("lifecycle events a minute, at least"), null=True, blank=True)
    qr_per_minute = models.PositiveIntegerField(_("QR codes a minute, per session"), null=True, blank=True)
    others_per_minute = models.PositiveIntegerField(_("other events a minute"), null=True, blank=True)
    keeps_statuses = models.BooleanField(_("keeps WhatsApp statuses"), default=True)
    keeps_newsletters = models.BooleanField(_("keeps newsletters"), default=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("workspace")
        verbose_name_plural = _("workspaces")

    def __str__(self) -> str:
        return self.name
