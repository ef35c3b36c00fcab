"""Finds rows by a phone number, in whatever form it is written and kept."""

from collections.abc import Sequence

from django.db.models import Q, QuerySet

from accounts import phones
from accounts.models import Workspace
from accounts.numbering_plans import identity_key


def of_account(path: str = "") -> tuple[str, ...]:
    """The columns with the numbers of an account; `path` leads to it: "session__account__"."""
    return tuple(f"{path}{column}" for column in ("phone_number", "phone_key", "new_phone_key"))


def rows_with(written: str, *, columns: Sequence[str], workspaces: QuerySet[Workspace]) -> Q | None:
    """Rows whose number has these digits, or is this number as it is written abroad or in one of these workspaces.

    None: it is no part of a number, or there are no numbers. An empty condition would find every row.
    """
    digits = phones.searched(written)
    if not digits or not columns:
        return None
    keys, found = _keys_of(written, workspaces), Q()
    for column in columns:
        found |= Q(**{f"{column}__contains": identity_key(digits) if column.endswith("key") else digits})
        found |= Q(**{f"{column}__in": keys})
    return found


def _keys_of(written: str, workspaces: QuerySet[Workspace]) -> set[str]:
    countries = workspaces.exclude(country="").order_by().values_list("country", flat=True).distinct()
    numbers = (phones.whole(written, country=country) for country in ("", *countries))
    return {identity_key(number) for number in numbers if number}
