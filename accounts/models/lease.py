"""Leases, and signs of life of the workers. They are in the database, because processes come and go."""

from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.fields import ExactCharField


class Lease(models.Model):
    """The lease of a job, or of a bridge's slot for orders: one holder at a time, until `until` at the longest."""

    name = ExactCharField(_("name"), max_length=80, unique=True)
    holder = models.CharField(_("holder"), max_length=64, blank=True, default="")  # empty: nobody
    until = models.DateTimeField(_("at the longest until"))
    taken_at = models.DateTimeField(_("taken"))
    released_at = models.DateTimeField(_("last released"), null=True)
    result = models.CharField(_("last result"), max_length=200, blank=True, default="")

    class Meta:
        verbose_name = _("job or line")
        verbose_name_plural = _("jobs and lines")

    def __str__(self) -> str:
        return str(self.name)


class Pulse(models.Model):
    """A question to one lane of the queue, and the last answer a worker gave."""

    lane = models.CharField(_("lane"), max_length=40, unique=True)
    asked_at = models.DateTimeField(_("asked"), null=True)
    answered_at = models.DateTimeField(_("answered"), null=True)

    class Meta:
        verbose_name = _("pulse of the workers")
        verbose_name_plural = _("pulses of the workers")

    def __str__(self) -> str:
        return self.lane
