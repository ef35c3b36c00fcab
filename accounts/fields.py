"""Special columns: ids that are compared byte for byte, and secrets that are encrypted at rest; what a column takes."""

import re
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


class ExactCharField(models.CharField):  # type: ignore[type-arg]  # generic in the stubs only
    """Bytes count: 'abc', 'ABC', 'abc ' and 'ábc' are four ids (MariaDB's default collation makes them one)."""

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        return super().db_parameters(connection) | {"collation": _exact_collation(connection)}


def _exact_collation(connection: Any) -> str | None:
    """The collation for MariaDB. utf8mb4_bin pads, so it takes 'abc ' for 'abc' (measured on MariaDB 10.11)."""
    if connection.vendor != "mysql":
        return None
    return "utf8mb4_nopad_bin" if connection.mysql_is_mariadb else "utf8mb4_0900_bin"


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """Plain text in Python, a Fernet token in the database. Not searchable: look up by a fingerprint."""

    def get_prep_value(self, value: Any) -> Any:
        text = super().get_prep_value(value)
        return None if text is None else _fernet().encrypt(text.encode()).decode()

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        return None if value is None else _fernet().decrypt(value.encode()).decode()


def storable(text: str) -> str:
    """The text with U+FFFD for NUL and for each half of a surrogate pair, which not every database takes."""
    if text.isascii() and "\x00" not in text:  # 16 MB of base64: a hundred times as fast
        return text
    return _NOT_STORABLE.sub("\ufffd", text)


def _fernet() -> MultiFernet:
    return _multi_fernet(tuple(settings.FIELD_ENCRYPTION_KEYS))


@lru_cache(maxsize=4)
def _multi_fernet(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])
