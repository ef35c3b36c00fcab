"""Several people, and the domain, at the same account at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client

from accounts.models import Account, User, Workspace
from accounts.pairing import attempts
from tests.support.portal import make_bridge

THREADS = 8
FORM = {"provider_type": "webjs", "is_active": "on"}


@pytest.fixture
def staff(transactional_db: None) -> list[Client]:
    alice = User.objects.create(username="alice", is_staff=True, is_superuser=True)
    clients = [Client() for _ in range(THREADS)]
    for client in clients:
        client.force_login(alice)
    return clients


def post(client: Client, url: str, data: dict[str, str]) -> int:
    try:
        return client.post(url, data).status_code
    finally:
        connection.close()


@pytest.mark.race
def test_one_phone_number_typed_by_many_becomes_one_account(staff: list[Client]) -> None:
    workspace = Workspace.objects.create(name="Toko Alice")
    data = FORM | {"workspace": str(workspace.pk), "phone_number": "6281116801641"}

    with ThreadPoolExecutor(THREADS) as pool:
        codes = list(pool.map(lambda client: post(client, "/admin/accounts/account/add/", data), staff))

    assert sorted(codes) == [200] * (THREADS - 1) + [302]
    assert Account.objects.count() == 1


@pytest.mark.race
def test_an_edit_takes_nothing_back_that_the_domain_did_meanwhile(staff: list[Client]) -> None:
    make_bridge("alpha")
    account = Account.objects.create(workspace=Workspace.objects.create(name="Toko Alice"))
    page = f"/admin/accounts/account/{account.pk}"

    def work(number: int) -> int:
        if number % 2:
            return post(staff[number], f"{page}/change/", FORM | {"label": f"label {number}"})
        return post(staff[number], f"{page}/renew_qr/", {"reason": f"try {number}"})

    with ThreadPoolExecutor(THREADS) as pool:
        codes = list(pool.map(work, range(THREADS)))

    account.refresh_from_db()
    session = account.sessions.get(ended_at=None)
    assert codes == [302] * THREADS
    assert account.current_session == session
    assert account.version >= 1 + THREADS
    attempts.force_reset(account.pk)
