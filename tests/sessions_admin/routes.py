"""Every address that there is, read from where it is declared."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.urls import URLResolver


@dataclass(frozen=True)
class Route:
    path: str
    name: str | None

    @property
    def model(self) -> type[Model] | None:
        """The model whose pages these are."""
        found = re.match(r"(\w+)/(\w+)/", self.path)
        is_one = found and found.group(1) in apps.app_configs and found.group(2) in apps.all_models[found.group(1)]
        return apps.get_model(found.group(1), found.group(2)) if found and is_one else None

    @property
    def blanks(self) -> list[str]:
        return re.findall(r"<[^>]+>", self.path)


def routes_of(patterns: Iterable[Any], before: str = "") -> Iterator[Route]:
    for each in patterns:
        path = before + str(each.pattern)
        if isinstance(each, URLResolver):
            yield from routes_of(each.url_patterns, path)
        else:
            yield Route(path, each.name)
