"""One row and a number for what happens often: exact under any number of threads, and bounded."""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Model
from django.utils import timezone

from accounts.db.transactions import atomically


@atomically
def count_known(model: type[Model], **key: Any) -> bool:
    """One more of `key` if it has a row; False if it has none."""
    rows = model._default_manager.filter(**key)
    return bool(rows.update(count=F("count") + 1, last_at=timezone.now()))


@atomically
def count(model: type[Model], **key: Any) -> None:
    """One more of `key`, in the model's row for it; the model has a unique constraint on it, `count` and `last_at`."""
    rows = model._default_manager.filter(**key)
    again = {"count": F("count") + 1, "last_at": timezone.now()}
    if rows.update(**again):
        return
    try:
        with transaction.atomic():
            model._default_manager.create(**key)
    except IntegrityError:  # a twin was first
        rows.update(**again)
