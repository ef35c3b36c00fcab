"""Counts frequent events in one row each: exact under any number of threads, and bounded."""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Model
from django.utils import timezone

from accounts.db.transactions import atomically


@atomically
def count_known(model: type[Model], **key: Any) -> bool:
    """Count one more of `key`; False if it has no row."""
    rows = model._default_manager.filter(**key)
    return bool(rows.update(count=F("count") + 1, last_at=timezone.now()))


@atomically
def count(model: type[Model], times: int = 1, /, **key: Any) -> None:
    """Count so many more of `key` in its row. The model has `count`, `last_at` and a unique constraint on `key`."""
    rows = model._default_manager.filter(**key)
    again = {"count": F("count") + times, "last_at": timezone.now()}
    if rows.update(**again):
        return
    try:
        with transaction.atomic():
            model._default_manager.create(**key, count=times)
    except IntegrityError:  # a twin was first
        rows.update(**again)
