"""The audit: what staff, programs and commands did. Rows are added, and never changed or deleted."""

from typing import Any, NoReturn

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

_NEVER_CHANGED, _NEVER_DELETED = "An audit entry is never changed.", "An audit entry is never deleted."


class AppendOnly(models.QuerySet["AuditEntry"]):
    def update(self, **values: Any) -> NoReturn:
        raise TypeError(_NEVER_CHANGED)

    def bulk_update(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(_NEVER_CHANGED)

    def update_or_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(_NEVER_CHANGED)

    def bulk_create(self, objs: Any, *args: Any, **kwargs: Any) -> list["AuditEntry"]:
        if kwargs.get("update_conflicts"):
            raise TypeError(_NEVER_CHANGED)
        return super().bulk_create(objs, *args, **kwargs)

    def delete(self) -> NoReturn:
        raise TypeError(_NEVER_DELETED)

    def _raw_delete(self, using: str | None) -> NoReturn:
        """Django deletes by it what goes with a row that is deleted."""
        raise TypeError(_NEVER_DELETED)


class AuditEntry(models.Model):
    """One action. It names what it is about by value, and stays when that is deleted: no key of it is enforced."""

    at = models.DateTimeField(_("when"), default=timezone.now)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        related_name="+",
        verbose_name=_("person"),
    )
    who = models.CharField(_("who"), max_length=200)  # the name then: of a person, a token or a command
    action = models.CharField(_("action"), max_length=80)  # "account.force_reset", "login"
    workspace = models.ForeignKey(
        "accounts.Workspace",
        models.DO_NOTHING,
        null=True,
        db_constraint=False,
        related_name="+",
        verbose_name=_("workspace"),
    )
    model = models.CharField(_("kind of object"), max_length=80, blank=True, default="")  # "accounts.account"
    object_id = models.CharField(_("object"), max_length=64, blank=True, default="")
    object_name = models.CharField(_("name of the object"), max_length=200, blank=True, default="")
    # The fields that the action changed, as text.
    before = models.JSONField(_("before"), default=dict)
    after = models.JSONField(_("after"), default=dict)
    reason = models.CharField(_("reason"), max_length=300, blank=True, default="")
    refused = models.CharField(_("refused because"), max_length=300, blank=True, default="")  # empty: it was done
    address = models.CharField(_("from"), max_length=45, blank=True, default="")  # the longest IPv6 address
    request_id = models.CharField(_("request"), max_length=64, blank=True, default="")

    objects = AppendOnly.as_manager()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit")
        base_manager_name = "objects"  # else Django's own ways past `objects` would change and delete
        # The table is kept for ever: what is filtered by is found by an index, the latest first.
        indexes = [
            models.Index(fields=["at"]),
            models.Index(fields=["model", "object_id"]),
            models.Index(fields=["workspace", "-id"]),
            models.Index(fields=["actor", "-id"]),
            models.Index(fields=["action", "-id"]),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.pk}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError(_NEVER_CHANGED)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(_NEVER_DELETED)
