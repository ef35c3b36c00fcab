"""Each number gets its key; where live accounts turn out to be one phone, one gets it and all go on."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from tests.support import migrations
from tests.support.migrations import migrate, newest_after_all

BEFORE = ("accounts", "0013_phone_keys")
NAME = ("accounts", "0016_number_lookups")
FIELDS = ("label", "phone_number", "phone_key", "twin_of__label")

__all__ = ["newest_after_all"]

pytestmark = pytest.mark.usefixtures("newest_after_all")


class Rows:
    """Written with the models of the last version without keys."""

    def __init__(self) -> None:
        self.apps = migrate(*migrations.before(BEFORE))
        self.workspace = self.apps.get_model("accounts", "Workspace").objects.create(name="Toko Alice")

    def account(self, label: str, number: str | None, status: str = "inactive", **values: Any) -> Any:
        model = self.apps.get_model("accounts", "Account")
        values = {"workspace": self.workspace} | values
        return model.objects.create(label=label, phone_number=number, status=status, **values)


def kept(apps: Any) -> dict[str, list[Any]]:
    rows = apps.get_model("accounts", "Account").objects.values_list(*FIELDS)
    return {label: values for label, *values in rows}


def test_of_three_twins_the_connected_one_holds_the_key_and_all_go_on() -> None:
    rows = Rows()
    rows.account("older", "5491123456789")
    rows.account("scanned", "5585987650001", "authenticated")
    rows.account("linked", "558587650001", "connected")
    rows.account("typed", "55085987650001")
    rows.account("alone", "6281167328422", "connected")
    rows.account("placeholder", None, "qr_scanning")
    third = rows.account("third", "541123456789", "disconnected")
    elsewhere = rows.apps.get_model("accounts", "Workspace").objects.create(name="Toko Bob")
    rows.account("elsewhere", "5585987650001", workspace=elsewhere)
    rows.account("deleted", "5585987650001", deleted_at="2026-01-01T00:00Z")

    apps = migrate(NAME)

    assert kept(apps) == {
        "older": ["5491123456789", "5491123456789", "third"],
        "scanned": ["5585987650001", "5585987650001", "linked"],
        "linked": ["558587650001", "5585987650001", None],
        "typed": ["55085987650001", "5585987650001", "linked"],
        "alone": ["6281167328422", "6281167328422", None],
        "placeholder": [None, None, None],
        "third": ["541123456789", "5491123456789", None],
        "elsewhere": ["5585987650001", "5585987650001", None],
        "deleted": ["5585987650001", "5585987650001", None],
    }
    accounts = apps.get_model("accounts", "Account").objects
    with pytest.raises(IntegrityError), transaction.atomic():
        accounts.create(workspace_id=third.workspace_id, phone_number="x", phone_key="5585987650001")


def test_the_numbers_and_the_former_constraint_come_back() -> None:
    rows = Rows()
    for number in ("541123456789", "5491123456789", "5585987650001", "558587650001"):
        rows.account(number, number)
    rows.account("mexico", "525587650004")
    rows.account("mexico, as WhatsApp has it", "5215587650004", "authenticated")
    before = {label: values[0] for label, values in kept_without_keys(rows.apps).items()}

    migrate(NAME)
    apps = migrate(*migrations.before(BEFORE))
    assert {label: values[0] for label, values in kept_without_keys(apps).items()} == before
    accounts = apps.get_model("accounts", "Account").objects
    with pytest.raises(IntegrityError), transaction.atomic():  # the former constraint is back
        accounts.create(workspace_id=rows.workspace.pk, phone_number="558587650001")

    assert kept(migrate(NAME))["mexico"] == ["525587650004", "525587650004", "mexico, as WhatsApp has it"]


def test_a_twin_whose_digits_were_reported_for_the_other_one_comes_back_with_its_other_form() -> None:
    rows = Rows()
    for label, number in (("linked", "5585987650001"), ("twin", "558587650001")):
        rows.account(label, number, "connected" if label == "linked" else "inactive")
    accounts = migrate(NAME).get_model("accounts", "Account").objects
    accounts.filter(label="linked").update(phone_number="558587650001")  # as its phone reported it
    back = kept_without_keys(migrate(*migrations.before(BEFORE)))
    assert back == {"linked": ["558587650001"], "twin": ["5585987650001"]}


def kept_without_keys(apps: Any) -> dict[str, list[Any]]:
    rows = apps.get_model("accounts", "Account").objects.values_list("label", "phone_number")
    return {label: values for label, *values in rows}


def test_unknown_sessions_get_their_keys() -> None:
    rows = Rows()
    bridge = rows.apps.get_model("accounts", "Bridge").objects.create(name="alpha", url="http://127.0.0.1:9")
    strays = rows.apps.get_model("accounts", "StraySession").objects
    strays.create(bridge=bridge, session_id="a", phone_number="558587650001")
    strays.create(bridge=bridge, session_id="b")
    after = migrate(NAME).get_model("accounts", "StraySession").objects
    assert dict(after.values_list("session_id", "phone_key")) == {"a": "5585987650001", "b": ""}
