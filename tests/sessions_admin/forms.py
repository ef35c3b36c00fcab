"""What staff send to the pages of the admin, and what they are told."""

from typing import Any

from django.contrib.messages import get_messages
from django.test import Client

from accounts.models import Account, Bridge


def bridge_form(bridge: Bridge, kind: str, value: str) -> dict[str, Any]:
    management = {
        f"{prefix}-{name}": number
        for prefix, initial in (("credentials", bridge.credentials.count()), ("credentials-2", 0))
        for name, number in (
            ("TOTAL_FORMS", initial),
            ("INITIAL_FORMS", initial),
            ("MIN_NUM_FORMS", 0),
            ("MAX_NUM_FORMS", 1),
        )
    }
    rows = {
        f"credentials-{index}-{name}": number
        for index, secret in enumerate(bridge.credentials.order_by("-pk"))
        for name, number in (("id", secret.pk), ("bridge", bridge.pk))
    }
    new = {"credentials-2-TOTAL_FORMS": 1, "credentials-2-0-kind": kind, "credentials-2-0-value": value}
    return {
        "name": bridge.name, "url": bridge.url, "capacity": 100, "pairings_at_once": 5, "weight": 1,
        "capabilities": "[]",
    } | management | rows | new  # fmt: skip


def act(client: Client, account: Account, action: str, **data: str) -> Any:
    return client.post(f"/admin/accounts/account/{account.pk}/{action}/", data)


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))
