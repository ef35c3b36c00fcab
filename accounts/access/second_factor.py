"""The second factor: codes of an app on a phone (TOTP), and recovery codes for when it is lost, by django-otp.

A person has one app or none. A session that has passed the second step is marked with that app, so that sessions end
with it when it is replaced or reset. Of recovery codes only digests are stored.
"""

import re
import secrets
import unicodedata
from base64 import b32encode
from hashlib import sha256
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qs, urlsplit

from django.db import transaction
from django.utils.translation import gettext as _
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from accounts.access import audit
from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.models import RolePolicy, User

RECOVERY_CODES = 10
CODE_BYTES = 10  # 80 bits: too many to find a code from its digest
OF_APP = re.compile(r"[0-9]{6}")


class FactorRefused(Exception):
    """Says to the person why not."""


def is_required(user: User) -> bool:
    """Whether one of the person's roles demands it; of superusers, whether any role does."""
    demanding = RolePolicy.objects.filter(second_factor=True)
    return (demanding if user.is_superuser else demanding.filter(group__user=user)).exists()


def app_of(user: User) -> Any:
    """The TOTPDevice of this person, or None."""
    return TOTPDevice.objects.filter(user=user, confirmed=True).first()


def is_done(user: User, mark: str | None) -> bool:
    """Whether a session with this mark has passed the second step, or needs none."""
    app = app_of(user)
    if app is not None:
        return bool(mark == app.persistent_id)
    return mark is None and not is_required(user)


class Used(NamedTuple):
    app: Any  # the person's
    how: Literal["app", "recovery code"]  # which kind of code it was, whichever form it was typed into


def use_code(user: User, text: str) -> Used | None:
    """Use up a code of the app or a recovery code. Returns None if it was not good.

    A code is good once: twins wait for each other at the person's row, and the second finds the code used.
    """
    text = _plain(text)
    with transaction.atomic():
        locks.row(User, pk=user.pk)
        app = TOTPDevice.objects.filter(user=user, confirmed=True).first()
        if app is None:
            return None
        if OF_APP.fullmatch(text):
            return Used(app, "app") if _is_of_app(app, text) else None
        return Used(app, "recovery code") if _is_recovery_code(user, text) else None


def new_key() -> str:
    """The secret of an app that is not set up yet, in hexadecimal digits."""
    return secrets.token_hex(20)


def address_for_app(user: User, key: str) -> str:
    """The otpauth:// address that the app reads as a QR code."""
    return str(TOTPDevice(user=user, key=key).config_url)


def key_to_type(user: User, key: str) -> str:
    """The secret as apps take it from the keyboard, in groups of four."""
    (secret,) = parse_qs(urlsplit(address_for_app(user, key)).query)["secret"]
    return _in_fours(secret, " ")


def set_up(user: User, key: str, code: str, *, replaces: bool) -> tuple[Any, list[str]]:
    """Make the app with this secret the person's, if the code is of it. Returns it and the recovery codes.

    Raises FactorRefused. Without `replaces`, an app that another window has set up meanwhile stays.
    """
    with transaction.atomic():
        locks.row(User, pk=user.pk)
        old = app_of(user)
        if old is not None and (not replaces or old.key == key):
            raise FactorRefused(_("A second factor was set up in another window. Log in with it."))
        _forget(user)
        app = TOTPDevice.objects.create(user=user, name="app", key=key)
        if not _is_of_app(app, _plain(code)):
            raise FactorRefused(_("This code is not right. Take the next one of the app, and check the phone’s clock."))
        audit.record(f"second_factor.{'replaced' if old else 'set_up'}", actor=user, of=user)
        return app, _make_recovery_codes(user)


def renew_recovery_codes(user: User) -> list[str]:
    with transaction.atomic():
        locks.row(User, pk=user.pk)
        audit.record("second_factor.recovery_codes", actor=user, of=user)
        return _make_recovery_codes(user)


def recovery_codes_left(user: User) -> int:
    return int(StaticToken.objects.filter(device__user=user).count())


def remove(user: User) -> None:
    """By the person's own wish. Raises FactorRefused where a role demands it."""
    with transaction.atomic():
        locks.row(User, pk=user.pk)
        if is_required(user):
            raise FactorRefused(_("Your role requires a second factor. It can be replaced, not removed."))
        _forget(user)
        audit.record("second_factor.removed", actor=user, of=user)


@atomically
def reset(user: User) -> None:
    """By somebody else, when the phone is lost. All sessions that have passed it end. Raises FactorRefused.

    The button and the command that call it note it in the audit, in this transaction.
    """
    locks.row(User, pk=user.pk)
    if app_of(user) is None:
        raise FactorRefused(_("This person has no second factor."))
    _forget(user)


def _forget(user: User) -> None:
    TOTPDevice.objects.filter(user=user).delete()
    StaticDevice.objects.filter(user=user).delete()


def _make_recovery_codes(user: User) -> list[str]:
    StaticDevice.objects.filter(user=user).delete()
    codes = [b32encode(secrets.token_bytes(CODE_BYTES)).decode().lower() for _number in range(RECOVERY_CODES)]
    device = StaticDevice.objects.create(user=user, name="recovery codes")
    StaticToken.objects.bulk_create(StaticToken(device=device, token=_digest(code)) for code in codes)
    return [_in_fours(code, "-") for code in codes]


def _is_of_app(app: Any, text: str) -> bool:
    return bool(OF_APP.fullmatch(text) and app.verify_token(text))


def _is_recovery_code(user: User, text: str) -> bool:
    device = StaticDevice.objects.filter(user=user).first()
    return bool(device and device.verify_token(_digest(text)))


def _digest(code: str) -> str:
    """As many letters as the column holds, of an alphabet that a database without upper case keeps apart."""
    return b32encode(sha256(code.encode()).digest()[:10]).decode().lower()


def _plain(text: str) -> str:
    """As people type codes: with spaces or dashes, in capitals, with the full-width digits of some keyboards."""
    return re.sub(r"[^0-9a-z]", "", unicodedata.normalize("NFKC", text[:100]).lower())


def _in_fours(text: str, between: str) -> str:
    return between.join(text[start : start + 4] for start in range(0, len(text), 4))
