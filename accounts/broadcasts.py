"""Tells browsers that an account changed. This is only a hint: a browser that misses it polls."""

import logging

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

log = logging.getLogger(__name__)


def group_of(account_id: int) -> str:
    """The channel group of all who watch this account."""
    return f"account.{account_id}"


def publish(account_id: int, version: int) -> None:
    """Say "account X is now at version N", and nothing else. Call it after the commit; it never raises."""
    layer = get_channel_layer()
    message = {"type": "account.moved", "account": account_id, "version": version}
    try:
        async_to_sync(layer.group_send)(group_of(account_id), message)
    except Exception:  # whatever Redis does, the webhook that changed the account must not fail
        log.warning("account %s: could not publish version %s; watchers will poll", account_id, version)
