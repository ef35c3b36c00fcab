"""Finds rows by a phone number, in whatever form it is written and kept."""

from django.db.models import Q

from accounts import phones
from accounts.models import Workspace
from accounts.numbering_plans import identity_key


def rows_with(written: str, *, lookup: str) -> Q | None:
    """Rows whose number has these digits, or is this number as it is written abroad or in a workspace's country.

    `lookup` leads to a `phone_number` that has its `phone_key` beside it. None: it is no part of a number.
    """
    digits = phones.searched(written)
    if not digits:
        return None
    key = lookup.replace("phone_number", "phone_key")
    parts = Q(**{f"{lookup}__contains": digits}) | Q(**{f"{key}__contains": identity_key(digits)})
    return parts | Q(**{f"{key}__in": _keys_of(written)})


def _keys_of(written: str) -> set[str]:
    countries = Workspace.objects.exclude(country="").order_by().values_list("country", flat=True).distinct()
    numbers = (phones.whole(written, country=country) for country in ("", *countries))
    return {identity_key(number) for number in numbers if number}
