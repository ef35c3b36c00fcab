"""Follows every link of the admin, as a person with a mouse would, and a program that opens dialogs and choices."""

import html
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from django.apps import apps
from django.test import Client

_TAG = re.compile(r"<[a-z][^>]*>")
_ATTRIBUTE = re.compile(r"([\w:-]+)=\"([^\"]*)\"")
_WAYS = ("href", "hx-get", "formaction", "data-href-template", "data-change-url", "data-add-url")
_UNASKED = re.compile("^/(static|media|link)/|/logout/$|/admin/jsi18n/")
# Pages of a kind that are fetched, where one does not show all that there is: accounts with a link, and without one.
SOME = {"/admin/accounts/account/N/change/": 2}


def crawl(client: Client, start: str, *, look: Callable[[str], object] = len) -> dict[str, int]:
    """The address of each page that was fetched, with its status. Of each kind of page some are fetched; `look` gets
    what each shows."""
    waiting, fetched, kinds = [start], dict[str, int](), Counter[str]()
    while waiting:
        address = waiting.pop()
        kind = _kind(address)
        if address in fetched or kinds[kind] >= SOME.get(kind, 1):
            continue
        kinds[kind] += 1
        answer = client.get(address)
        fetched[address] = answer.status_code
        if answer.status_code == 200 and "html" in answer["Content-Type"]:
            page = answer.content.decode()
            look(page)
            waiting += links(page, address)
    return fetched


def links(page: str, base: str) -> Iterator[str]:
    """The addresses of this site that a page leads to."""
    for tag in _TAG.findall(page):
        attributes = {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(tag)}
        for way in filter(None, [*(attributes.get(name) for name in _WAYS), _choices(attributes)]):
            parts = urlsplit(urljoin(base, way))
            if parts.scheme or parts.netloc or not parts.path.startswith("/") or _UNASKED.search(parts.path):
                continue
            yield _filled(f"{parts.path}?{parts.query}" if parts.query else parts.path)


def _choices(attributes: dict[str, str]) -> str:
    """The address that a field asks for its choices."""
    if "data-ajax--url" not in attributes:
        return ""
    names = {"app_label": "data-app-label", "model_name": "data-model-name", "field_name": "data-field-name"}
    return f"{attributes['data-ajax--url']}?{urlencode({key: attributes[name] for key, name in names.items()})}"


def _filled(address: str) -> str:
    """The address behind the icons beside a field has the key of what is chosen in it."""
    if "__fk__" not in address:
        return address
    _empty, _admin, app, model, *_rest = address.split("/")
    row: Any = apps.get_model(app, model)._default_manager.order_by("pk").first()
    return address.replace("__fk__", str(row.pk))


def _kind(address: str) -> str:
    """The address without its numbers. One filter of a list stands for all; the choices of a field are their own."""
    path, _mark, query = address.partition("?")
    plain = re.sub(r"/(\d+|[0-9a-f-]{16,}|\w{16,})/", "/N/", path)
    if path.endswith("/history/"):
        return "a history"  # who sees a row's page sees its history
    if "/autocomplete/" in path:
        return f"{plain}?{query}"
    return f"{plain}?" if set(dict(parse_qsl(query, keep_blank_values=True))) - {"_changelist_filters"} else plain
