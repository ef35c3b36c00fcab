"""The audit as CSV, by RFC 4180. It is sent page by page: the table is kept for ever, and grows."""

import csv
import json
import re
from collections.abc import AsyncIterator, Iterator
from io import StringIO
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse
from django.utils import timezone

from accounts.models import AuditEntry

AT_ONCE = 500  # entries; some kilobytes each at most
COLUMNS = ["at", "who", "action", "workspace", "kind", "object_id", "object", "before", "after"]
COLUMNS += ["reason", "refused", "address", "request_id"]
BOM = "\ufeff"  # without it Excel takes UTF-8 for the alphabet of its country
BLANKS = ("\t", "\r", "\n")
# OWASP, "CSV Injection": also behind what a spreadsheet of another country, or its import, takes for the end of a cell,
# and in the wide letters of Japanese keyboards, which Excel there takes for the narrow ones.
FORMULA = re.compile(r"""(^|[;|\t\r\n])((?:[^\S\t\r\n]|["'\u200b\ufeff])*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])""")


def response(request: HttpRequest, entries: QuerySet[AuditEntry]) -> StreamingHttpResponse:
    """An ASGI server would gather all that a plain iterator gives before it sends any of it."""
    parts = _parts_later(entries) if isinstance(request, ASGIRequest) else _parts(entries)
    answer = StreamingHttpResponse(parts, content_type="text/csv; charset=utf-8")
    name = f"audit-{timezone.now():%Y-%m-%d-%H%M}.csv"
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    answer.headers["Cache-Control"] = "no-store"
    return answer


def defused(text: str) -> str:
    """A spreadsheet takes a cell that begins so for a formula, and runs it; an apostrophe makes it a text."""
    text = FORMULA.sub(r"\1'\2", text)
    return f"'{text}" if text.startswith(BLANKS) else text


def _parts(entries: QuerySet[AuditEntry]) -> Iterator[str]:
    yield BOM + _lines([COLUMNS])
    page = _page(entries, None)
    while page:
        yield _lines(map(_cells, page))
        page = _page(entries, page[-1].pk)


async def _parts_later(entries: QuerySet[AuditEntry]) -> AsyncIterator[str]:
    yield BOM + _lines([COLUMNS])
    read = sync_to_async(_page)
    page = await read(entries, None)
    while page:
        yield _lines(map(_cells, page))
        page = await read(entries, page[-1].pk)


def _page(entries: QuerySet[AuditEntry], last: int | None) -> list[AuditEntry]:
    """The next entries, the latest first. What is added meanwhile is later than all of them."""
    older = entries if last is None else entries.filter(pk__lt=last)
    return list(older.select_related("workspace").order_by("-pk")[:AT_ONCE])


def _cells(entry: AuditEntry) -> list[str]:
    return [
        entry.at.isoformat(),
        entry.who,
        entry.action,
        str(entry.workspace or ""),
        entry.model,
        entry.object_id,
        entry.object_name,
        _json(entry.before),
        _json(entry.after),
        entry.reason,
        entry.refused,
        entry.address,
        entry.request_id,
    ]


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False) if values else ""


def _lines(rows: Any) -> str:
    out = StringIO()
    csv.writer(out).writerows([defused(cell) for cell in row] for row in rows)
    return out.getvalue()
