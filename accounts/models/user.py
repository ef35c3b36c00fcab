from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _


class User(AbstractUser):
    """A member of the support staff."""

    time_zone = models.CharField(_("time zone"), max_length=64, default="UTC")
