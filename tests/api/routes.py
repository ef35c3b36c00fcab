"""Every path that the portal answers."""

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, URLResolver, get_resolver

METHODS = {"get", "post", "put", "patch", "delete"}
UNDESCRIBED = {"/api/schema/", "/api/docs/"}


def routes(resolver: Any = None, prefix: str = "/") -> Iterator[tuple[str, Any]]:
    """Every path of the URL table, with its view."""
    for entry in (resolver or get_resolver()).url_patterns:
        path = prefix + str(entry.pattern)
        if isinstance(entry, URLResolver):
            yield from routes(entry, path)
        elif isinstance(entry, URLPattern):
            yield path, entry.callback


def described_operations() -> list[str]:
    """As the schema names them: "GET /api/whatsapp/status". To make the schema takes a second, and these no time."""
    found = set()
    for path, view in routes():
        if path.startswith("/api/") and path not in UNDESCRIBED:
            plain = path.replace("<str:", "{").replace("<int:", "{").replace(">", "}")
            found |= {f"{method.upper()} {plain}" for method in METHODS if hasattr(view.cls, method)}
    return sorted(found)
