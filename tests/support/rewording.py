"""What may change between two looks at one record without changing a decision: the language, the texts, the history."""

import pkgutil
from collections.abc import Callable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
from django.utils import translation

import accounts
from accounts.models import Transition

Change = Callable[[], None]


@pytest.fixture(params=["indonesian", "reworded", "no history"])
def change(request: pytest.FixtureRequest, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Change]:
    """To be called wherever the record has been written and is about to be read."""

    def speak_indonesian() -> None:
        settings.LANGUAGE_CODE = "id"
        translation.activate("id")

    def reword() -> None:
        for module in _modules():
            for name, text in _sentences(module):
                monkeypatch.setattr(module, name, f"Put otherwise: {text}")

    def forget() -> None:
        Transition.objects.all().delete()

    with translation.override(translation.get_language()):
        yield {"indonesian": speak_indonesian, "reworded": reword, "no history": forget}[request.param]


def _modules() -> list[ModuleType]:
    names = [found.name for found in pkgutil.walk_packages(accounts.__path__, "accounts.")]
    return [import_module(name) for name in names if ".migrations" not in name and ".management" not in name]


def _sentences(module: ModuleType) -> list[tuple[str, str]]:
    constants = [(name, value) for name, value in vars(module).items() if name.isupper() and type(value) is str]
    return [(name, text) for name, text in constants if " " in text]
