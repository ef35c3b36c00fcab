"""Members of the staff, and what the groups that they are in demand of them."""

from django.contrib.auth.models import AbstractUser, Group
from django.db import models
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from accounts.models.workspace import Workspace


class User(AbstractUser):
    """A member of the staff. Permissions say what they may do, workspaces where."""

    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
    all_workspaces = models.BooleanField(
        _("all workspaces"),
        default=False,
        help_text=_("Also those that are made later, and what belongs to none: bridges, unknown sessions, the queue."),
    )

    @property
    def sees_all(self) -> bool:
        """Whether this person sees every workspace, and the rows that belong to none."""
        return bool(self.is_superuser or self.all_workspaces)

    def workspaces_seen(self) -> QuerySet[Workspace]:
        return Workspace.objects.all() if self.sees_all else Workspace.objects.filter(members=self)


class RolePolicy(models.Model):
    """A role (a group) may demand something of the people who have it. A group without a row demands nothing."""

    group = models.OneToOneField(Group, models.CASCADE, related_name="policy", verbose_name=_("role"))
    second_factor = models.BooleanField(
        _("second factor required"),
        default=False,
        help_text=_("Who has this role sets one up at the next login. If any role requires it, so do superusers."),
    )

    class Meta:
        verbose_name = _("policy of a role")
        verbose_name_plural = _("policies of roles")

    def __str__(self) -> str:
        return str(self.group)
