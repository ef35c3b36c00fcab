"""No bridge could take an attempt: that is written into the history of its account, with the reason."""

from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from django.utils import timezone, translation

from accounts.bridges.choosing import NoBridgeAvailable
from accounts.db import locks
from accounts.db.transactions import atomically, before_commit
from accounts.models import Account

P = ParamSpec("P")
T = TypeVar("T")

AGAIN_AFTER = timedelta(hours=1)  # a page may ask again and again, so a reason that lasts is noted this often


def noted(start: Callable[Concatenate[int, P], T]) -> Callable[Concatenate[int, P], T]:
    """Note the refusals of `start`. The owner of a wider transaction, which takes all back, calls `note` itself."""

    @wraps(start)
    def run(account_id: int, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return start(account_id, *args, **kwargs)
        except Exception as refusal:
            if not locks.in_transaction():
                note(account_id, refusal)
            raise

    return run  # type: ignore[return-value]  # the stubs of `wraps` lose that its first argument has a name


def note(account_id: int, refusal: Exception) -> None:
    """Note a refusal for want of a bridge; any other is not noted."""
    if isinstance(refusal.__cause__, NoBridgeAvailable):
        with before_commit(None):  # this transaction is not the one that was asked for
            _note(account_id, refusal.__cause__)


@atomically
def _note(account_id: int, refused: NoBridgeAvailable) -> None:
    """The watchers are not told of it: whoever asked has got it as the answer."""
    account = Account.objects.lock(Account.objects.get(pk=account_id).resolve().pk)
    now = timezone.now()
    since = max(account.status_changed_at, now - AGAIN_AFTER)
    if account.refused_because == refused.reason and account.refused_at and account.refused_at > since:
        return
    account.refused_at, account.refused_because = now, refused.reason
    account.save(update_fields=["refused_at", "refused_because"])
    with translation.override("en"):  # as all that the desk itself writes there
        account.note(trigger="refused", reason=refused.in_words()[:500])
