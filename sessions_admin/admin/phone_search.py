"""Finds rows by a phone number, in whatever form it is written and kept, and accounts by a session's id."""

from collections.abc import Sequence

from django.db.models import Q, QuerySet

from accounts import phones
from accounts.models import LinkSession, Workspace
from accounts.numbering_plans import identity_key

SHORTEST_PART = 4  # characters of a session's id


def of_account(path: str = "") -> tuple[str, ...]:
    """The columns with the numbers of an account; `path` leads to it: "session__account__"."""
    return tuple(f"{path}{column}" for column in ("phone_number", "phone_key", "new_phone_key"))


def accounts_of_session(written: str) -> list[int]:
    """The accounts whose sessions have this in their ids, the newest 100 of them: read before the list, as a join would
    multiply each account by all its sessions."""
    if len(written) < SHORTEST_PART or " " in written:
        return []
    found = LinkSession.objects.filter(session_id__contains=written).order_by("-pk")
    return list(found.values_list("account_id", flat=True)[:100])


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
