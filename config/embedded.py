"""The secrets of the embedded default are made once, and kept in the data directory."""

import os
import secrets
from pathlib import Path
from typing import NoReturn

from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

NAMES = ("SECRET_KEY", "FIELD_ENCRYPTION_KEYS")


def load_secrets(file: Path, *, may_create: bool) -> None:
    """Put the secrets of `file` into the environment, unless they are set there already.

    Raises ImproperlyConfigured when a secret is missing and may not be made up: several production
    hosts with keys of their own would silently lose each other's sessions, tasks and bridge secrets.
    """
    if all(os.environ.get(name) for name in NAMES):
        return
    if not may_create:  # not from the file of an earlier start either
        _refuse()
    if not file.exists():
        _create(file)
    for line in file.read_text().splitlines():
        name, _, value = line.partition("=")
        if name in NAMES and not os.environ.get(name):
            os.environ[name] = value


def _refuse() -> NoReturn:
    missing = ", ".join(name for name in NAMES if not os.environ.get(name))
    raise ImproperlyConfigured(
        f"{missing} must be set when DATABASE_URL is. Make them with: "
        'python -c "import secrets; print(secrets.token_urlsafe(50))" and '
        'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
    )


def _create(file: Path) -> None:
    """Write the file whole or not at all: web and worker may both be starting for the first time."""
    file.parent.mkdir(parents=True, exist_ok=True)
    values = {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
    }
    draft = file.with_name(f"{file.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    try:
        os.link(draft, file)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
