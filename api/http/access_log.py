"""Daphne's access log is written as lines like all others."""

import logging
from datetime import datetime
from typing import Any

from daphne.access import AccessLogGenerator

log = logging.getLogger("daphne.access")


def install() -> None:
    """Run once per process, when the apps are ready: daphne writes its access log past `logging`, without a hook."""
    AccessLogGenerator.write_entry = _write_entry


def _write_entry(
    generator: Any, host: str, date: datetime, request: str, status: int | None = None, length: int | None = None
) -> None:
    log.info('%s "%s" %s %s', host, request, status or "-", length or "-")
