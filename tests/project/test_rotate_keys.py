"""Changing FIELD_ENCRYPTION_KEYS and SECRET_KEY: bridges stay known, and the old keys are not needed any more."""

from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from accounts.models import Bridge, BridgeSecret
from tests.support.portal import make_bridge

pytestmark = pytest.mark.django_db

HMAC = BridgeSecret.Kind.HMAC


def new_key(settings: Any) -> str:
    """In front of the others."""
    key = Fernet.generate_key().decode()
    settings.FIELD_ENCRYPTION_KEYS = [key, *settings.FIELD_ENCRYPTION_KEYS]
    return key


def test_afterwards_the_new_key_alone_is_enough(bridge: Bridge, settings: Any) -> None:
    retired = BridgeSecret.objects.create(bridge=bridge, kind=HMAC, value="older")
    retired.retire()
    before = bridge.secrets(HMAC)
    key = new_key(settings)
    assert bridge.secrets(HMAC) == before

    call_command("rotate_keys")
    settings.FIELD_ENCRYPTION_KEYS = [key]
    assert bridge.secrets(HMAC) == before
    retired.refresh_from_db()
    assert retired.value == "older"
    assert retired.retired_at is not None


def test_one_that_no_key_decrypts_is_named_and_stops_no_other(bridge: Bridge, settings: Any) -> None:
    make_bridge("beta")
    broken, old = bridge.credentials.filter(kind=HMAC), settings.FIELD_ENCRYPTION_KEYS
    pk = broken.values_list("pk", flat=True).get()
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    broken.update(value="lost")
    settings.FIELD_ENCRYPTION_KEYS = old
    key = new_key(settings)

    with pytest.raises(CommandError, match=rf"#{pk} \(no key decrypts it\)"):
        call_command("rotate_keys")
    settings.FIELD_ENCRYPTION_KEYS = [key]
    assert Bridge.objects.get(name="beta").secrets(HMAC) == ["beta-hmac"]


def test_after_a_change_of_secret_key_a_secret_in_use_is_known_again(bridge: Bridge, settings: Any) -> None:
    settings.SECRET_KEY = "another-one-0123456789-0123456789-0123456789-0123"
    twin = BridgeSecret(bridge=bridge, kind=HMAC, value="alpha-hmac")
    twin.full_clean()  # nobody can see it
    call_command("rotate_keys")
    with pytest.raises(ValidationError, match="already in use"):
        twin.full_clean()


def test_one_that_two_bridges_were_given_in_between_is_named(bridge: Bridge, settings: Any) -> None:
    settings.SECRET_KEY = "another-one-0123456789-0123456789-0123456789-0123"
    other = Bridge.objects.create(name="beta", url="http://127.0.0.1:1")
    BridgeSecret.objects.create(bridge=other, kind=HMAC, value="alpha-hmac")
    pk = bridge.credentials.get(kind=HMAC).pk
    with pytest.raises(CommandError, match=rf"#{pk} \(another bridge has the same\)"):
        call_command("rotate_keys")
