"""Filters by whether a row is over, which is a moment that is null until then, and by values that are known."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from accounts.models import LinkSession
from sessions_admin.labels import TRIGGERS
from webhooks.events.handlers import LIFECYCLE


class KnownValues(admin.AllValuesFieldListFilter):
    """Django would ask a table of millions of rows which values there are, at each view."""

    values: tuple[str, ...]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lookup_choices: Any = self.values


class EventFilter(KnownValues):
    values = tuple(sorted(LIFECYCLE))


class TriggerFilter(KnownValues):
    values = tuple(sorted(TRIGGERS))


class MessageTypeFilter(KnownValues):
    """As WhatsApp Web names them; a rarer type is found by its chat."""

    values = ("chat", "image", "video", "ptt", "audio", "document", "sticker", "location", "vcard", "poll_creation")


class OverFilter(admin.SimpleListFilter):
    """Rows that are over are hidden until somebody asks for them."""

    field: str
    still: str | Promise  # the word for rows that are not over
    over: str | Promise

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", self.over), ("all", gettext_lazy("All"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "all":
            return queryset
        return queryset.filter(**{f"{self.field}__isnull": self.value() != "yes"})

    def choices(self, changelist: Any) -> Any:
        """The first choice has the word for rows that are not over, in place of Django's "All"."""
        choices = list(super().choices(changelist))
        return [choices[0] | {"display": self.still}, *choices[1:]]


class DeletedFilter(OverFilter):
    title = gettext_lazy("deleted")
    parameter_name = "deleted"
    field = "deleted_at"
    still, over = gettext_lazy("Not deleted"), gettext_lazy("Only deleted")


class SettledFilter(OverFilter):
    title = gettext_lazy("settled")
    parameter_name = "settled"
    field = "settled_at"
    still, over = gettext_lazy("Waiting"), gettext_lazy("Settled")


class NumberFilter(admin.SimpleListFilter):
    """Accounts whose number waits for staff: unclear, changed, or the number of another account too."""

    title = gettext_lazy("number")
    parameter_name = "number"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("waits", gettext_lazy("Waits for a decision"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return self.waiting(queryset) if self.value() else queryset

    @staticmethod
    def waiting(accounts: QuerySet[Any]) -> QuerySet[Any]:
        unclear = LinkSession.objects.filter(
            number_unclear_at__isnull=False, ended_at__isnull=True, connected_at__isnull=True
        )
        waits = Q(current_session__in=unclear.values("pk")) | Q(twin_of__isnull=False) | ~Q(new_phone="")
        return accounts.filter(waits)


class ClosedFilter(admin.SimpleListFilter):
    """The history of a bridge is worth seeing, so all rows are listed, the open ones first."""

    title = gettext_lazy("state")
    parameter_name = "closed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("no", gettext_lazy("Open")), ("yes", gettext_lazy("Over"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(closed_at__isnull=self.value() == "no") if self.value() else queryset
