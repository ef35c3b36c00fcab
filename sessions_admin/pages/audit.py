"""The page of an audit entry: what was done to what, and each changed field before and after."""

from dataclasses import dataclass

from django.apps import apps
from django.contrib.admin.exceptions import NotRegistered
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _

from accounts.models import AuditEntry
from sessions_admin import audit_words, display
from sessions_admin.visibility import page_of_row, seen


@dataclass(frozen=True)
class Line:
    name: str
    before: str
    after: str


@dataclass(frozen=True)
class EntryPage:
    title: str
    refused: str
    facts: list[tuple[str, str]]
    of: str
    url: str  # empty: the object is gone, or the reader may not see it
    lines: list[Line]


def page_of(request: HttpRequest, entry: AuditEntry) -> EntryPage:
    facts = [
        (_("Who"), entry.who or "–"),
        (_("When"), display.moment(entry.at)),
        (_("From"), entry.address or "–"),
        (_("Request"), entry.request_id or "–"),
        (_("Reason"), entry.reason or "–"),
    ]
    names = list({**entry.before, **entry.after})
    return EntryPage(
        title=audit_words.action(entry.action),
        refused=audit_words.refusal(entry.refused),
        facts=facts,
        of=f"{audit_words.kind(entry.model)}: {entry.object_name}" if entry.model else "",
        url=_address(request, entry),
        lines=[_line(entry, name) for name in names],
    )


def _line(entry: AuditEntry, name: str) -> Line:
    before, after = (audit_words.value(name, values.get(name, "")) for values in (entry.before, entry.after))
    return Line(audit_words.field(entry.model, name), before, after)


def _address(request: HttpRequest, entry: AuditEntry) -> str:
    """Of the page of the object, where it still is and the reader may see it."""
    if not entry.model:
        return ""
    try:
        model = apps.get_model(entry.model)
        row = seen(request, model).filter(pk=entry.object_id).first()
    except (LookupError, ValueError, ValidationError, NotRegistered):
        return ""
    return page_of_row(row) if row is not None else ""
