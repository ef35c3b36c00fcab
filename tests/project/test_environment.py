"""Settings from the environment: empty is unset, and what is wrong stops the start with a sentence."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.variables import read_by_settings

SHOW = """
import django
from django.conf import settings
django.setup()
print("\\n".join(f"{name} = {getattr(settings, name)!r}" for name in sorted(dir(settings)) if name.isupper()))
"""


def start(code: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """With these alone, in a data directory of its own."""
    bare = {name: value for name, value in os.environ.items() if name not in read_by_settings()}
    own = {"LINKDESK_DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "config.settings"}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=bare | variables | own, capture_output=True, text=True, timeout=60
    )


def test_every_documented_variable_may_be_empty(tmp_path: Path) -> None:
    empty = dict.fromkeys(read_by_settings(), "")
    unset, started = start(SHOW, tmp_path), start(SHOW, tmp_path, **empty)
    assert started.returncode == 0, started.stderr
    assert "ALLOWED_HOSTS = ['localhost'," in started.stdout
    assert _settings(started) == _settings(unset)


def _settings(started: "subprocess.CompletedProcess[str]") -> list[str]:
    """But for where objects lie in memory."""
    return re.sub(r" at 0x\w+", "", started.stdout).splitlines()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LINKDESK_WORKERS", "four"),
        ("PORT", "http"),
        ("DEBUG", "perhaps"),
        ("LINKDESK_LOG_LEVEL", "loud"),
        ("LINKDESK_LOG_FORMAT", "xml"),
        ("LINKDESK_LANES", "many"),
        ("LINKDESK_RECONCILE", "guess"),
        ("LINKDESK_TRUSTED_PROXIES", "nginx"),
        ("PUBLIC_URL", "desk.example"),
        ("DATABASE_URL", "linkdesk"),
    ],
)
def test_a_wrong_value_stops_the_start_with_a_sentence(tmp_path: Path, name: str, value: str) -> None:
    secrets = {"SECRET_KEY": "x" * 60, "FIELD_ENCRYPTION_KEYS": "y" * 44}
    started = start("import config.settings", tmp_path, **secrets | {name: value})
    last = started.stderr.strip().splitlines()[-1]
    assert last.startswith(f"django.core.exceptions.ImproperlyConfigured: {name}"), started.stderr
    assert last.endswith(".")
