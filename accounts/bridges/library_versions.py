"""Versions of the libraries behind bridges that are known to link badly, or well, with the sources.

A bridge says its library and version with its heartbeat; if it does not, staff enter them.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

WEBJS_NAMES = frozenset({"whatsapp-web.js", "whatsapp-web", "webjs"})
ANY_PATCH = 10**9

Version = tuple[int, int, int]


class Level(StrEnum):
    BAD = "bad"  # gets no new sessions
    WARN = "warn"
    GOOD = "good"


@dataclass(frozen=True)
class Advisory:
    level: Level
    meaning: str | Promise
    todo: str | Promise
    source: str | Promise


_UPDATE = _("Update the library to 1.33.2.")

# The first and the last version that an advisory is about. Nothing is known of any other version.
_WEBJS: tuple[tuple[Version, Version, Advisory], ...] = (
    (
        (1, 23, 0),
        (1, 26, ANY_PATCH),
        Advisory(
            Level.BAD,
            _("Phones scan the code, but the link is never ready."),
            _UPDATE,
            _("Production figures of the system that this one replaces."),
        ),
    ),
    (
        (1, 27, 0),
        (1, 33, 1),
        Advisory(
            Level.WARN,
            _("Some phones scan the code, but the link is never ready."),
            _UPDATE,
            "https://github.com/wwebjs/whatsapp-web.js/issues/3742",
        ),
    ),
    (
        (1, 33, 2),
        (1, 33, 2),
        Advisory(
            Level.GOOD,
            _("It has the fixes for links that were never ready."),
            _("Nothing to do."),
            "https://github.com/wwebjs/whatsapp-web.js/pull/3747",
        ),
    ),
    (
        (1, 34, 1),
        (1, 34, 1),
        Advisory(
            Level.BAD,
            _("Logs the device out again and again right after the scan."),
            _("Go back to 1.33.2."),
            "https://github.com/wwebjs/whatsapp-web.js/issues/3856",
        ),
    ),
    (
        (1, 34, 2),
        (1, 34, 2),
        Advisory(
            Level.WARN,
            _("Bridges that were written for an older version may fail when they start."),
            _("Test it beside the others before you use it, or go back to 1.33.2."),
            _("Told by operators; no public report is known."),
        ),
    ),
)


def advisory(library: str, version: str) -> Advisory | None:
    """The advisory for this version; None if there is none, or the version cannot be read."""
    number = _number(version)
    if number is None or library.strip().casefold() not in WEBJS_NAMES:
        return None
    return next((found for first, last, found in _WEBJS if first <= number <= last), None)


def _number(version: str) -> Version | None:
    """The number in "1.33.2", "v1.33.2" or "1.34.1-alpha.2", which counts as 1.34.1."""
    found = re.match(r"v?([0-9]{1,9})\.([0-9]{1,9})(?:\.([0-9]{1,9}))?(?![0-9.])", version.strip(), re.IGNORECASE)
    return (int(found[1]), int(found[2]), int(found[3] or 0)) if found else None
