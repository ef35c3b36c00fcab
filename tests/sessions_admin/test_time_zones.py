"""Whoever is signed in reads the times of the admin in their own time zone."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import AsyncClient, Client
from django.utils import timezone

from accounts.models import Account, Transition, User
from tests.sessions_admin.pages import url

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HISTORY = "/admin/accounts/transition/"


@pytest.fixture(autouse=True)
def moved_at_noon(account: Account) -> None:
    account.note(trigger="admin", reason="noon")
    Transition.objects.update(created_at=NOON)


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("UTC", "2026-03-01 12:00:00 UTC"),
        ("Asia/Jakarta", "2026-03-01 19:00:00 WIB"),
        ("Asia/Nowhere", "2026-03-01 12:00:00 UTC"),
        ("../../etc/passwd", "2026-03-01 12:00:00 UTC"),
    ],
)
def test_times_stand_in_the_zone_of_the_reader(as_alice: Client, alice: User, zone: str, shown: str) -> None:
    User.objects.filter(pk=alice.pk).update(time_zone=zone)

    assert shown in as_alice.get(HISTORY).content.decode()
    assert timezone.get_current_timezone_name() == "UTC"  # whoever comes next is somebody else


@pytest.mark.django_db(transaction=True)
async def test_also_under_asgi(alice: User) -> None:
    alice.time_zone = "Asia/Jakarta"
    await alice.asave()
    client = AsyncClient()
    await client.aforce_login(alice)

    assert "2026-03-01 19:00:00 WIB" in (await client.get(HISTORY)).content.decode()
    assert timezone.get_current_timezone_name() == "UTC"


@pytest.mark.parametrize(("zone", "kept"), [("Asia/Makassar", "Asia/Makassar"), ("Mars", "UTC"), ("", "UTC")])
def test_a_zone_is_chosen_not_typed(as_alice: Client, alice: User, zone: str, kept: str) -> None:
    page = url(User, "change", alice.pk)
    shown: dict[str, Any] = as_alice.get(page).context["adminform"].form.initial
    data = {name: value for name, value in shown.items() if value and name not in ("password", "last_login")}

    as_alice.post(page, data | {"time_zone": zone, "is_active": "on"})

    alice.refresh_from_db()
    assert alice.time_zone == kept
