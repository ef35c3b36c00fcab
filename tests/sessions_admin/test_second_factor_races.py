"""Twins that send the same code at once: one passes. A reset and its entry in the audit are one."""

from functools import partial
from typing import Any

import pytest
from django.db import DatabaseError
from django.db.models.signals import pre_save
from django.test import Client

from accounts.access import second_factor
from accounts.models import AuditEntry, User
from tests.support.races import at_once
from tests.support.staff import STEP, app_of, code_of, counts, log_in, staff

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("kind", ["app", "recovery code"])
def test_of_twins_with_one_code_one_passes(kind: str) -> None:
    sari = staff("sari")
    app = app_of(sari)
    code = code_of(app.key) if kind == "app" else second_factor.renew_recovery_codes(sari)[0]

    results = at_once([partial(second_factor.use_code, User.objects.get(pk=sari.pk), code) for _ in range(6)])

    assert sorted(result is not None for result in results) == [False] * 5 + [True], results


def test_a_reset_that_cannot_be_noted_is_taken_back() -> None:
    sari, client = staff("sari"), Client(raise_request_exception=False)
    app_of(sari)
    client.force_login(staff("boss", is_superuser=True))

    def is_full(instance: AuditEntry, **_more: Any) -> None:
        if instance.action == "user.reset_second_factor":
            raise DatabaseError("the disk is full")

    pre_save.connect(is_full, sender=AuditEntry)
    try:
        answer = client.post(f"/admin/accounts/user/{sari.pk}/reset_second_factor/", {"reason": "lost"})
    finally:
        pre_save.disconnect(is_full, sender=AuditEntry)

    assert answer.status_code == 500
    assert second_factor.app_of(sari) is not None


def test_of_browsers_with_one_code_one_gets_in() -> None:
    app = app_of(staff("sari"))
    clients = [Client() for _ in range(3)]
    for client in clients:
        log_in(client, "sari")

    code = code_of(app.key)
    answers = at_once([partial(client.post, STEP, {"code": code}) for client in clients])

    assert sorted(answer.status_code for answer in answers) == [200, 200, 302], answers
    assert [counts(client) for client in clients].count(True) == 1


def test_of_twins_that_set_up_one_app_one_shows_its_recovery_codes() -> None:
    """Else the codes that the first has shown, and the person has printed, would be void."""
    sari, key = staff("sari"), second_factor.new_key()

    def set_up() -> list[str]:
        return second_factor.set_up(sari, key, code_of(key), replaces=True)[1]

    results = at_once([set_up for _ in range(4)])

    shown = [result for result in results if isinstance(result, list)]
    assert [isinstance(result, second_factor.FactorRefused) for result in results].count(True) == 3, results
    assert len(shown) == 1
    assert second_factor.use_code(sari, shown[0][0]) is not None
