"""What is known of a bridge's library, by version."""

import pytest
from django.utils import translation

from accounts.bridges.library_versions import Level, advisory

WEBJS = "whatsapp-web.js"


@pytest.mark.parametrize(
    ("version", "level"),
    [
        *[(version, Level.BAD) for version in ("1.23.0", "1.24.0", "1.26.0", "1.26.99", "1.34.1")],
        *[(version, Level.WARN) for version in ("1.27.0", "1.31.0", "1.33.0", "1.33.1", "1.34.2")],
        ("1.33.2", Level.GOOD),
    ],
)
def test_a_known_version_has_its_level_and_says_why_what_to_do_and_whence_it_is_known(
    version: str, level: Level
) -> None:
    found = advisory(WEBJS, version)
    assert found is not None
    assert found.level == level
    assert found.meaning
    assert found.todo
    assert found.source


@pytest.mark.parametrize("version", ["1.22.9", "1.22.2", "1.34.0", "1.33.3", "1.34.3", "1.35.0", "2.0.0", "0.26.0"])
def test_nothing_is_known_of_others(version: str) -> None:
    assert advisory(WEBJS, version) is None


@pytest.mark.parametrize(
    "version", ["v1.34.1", "V1.34.1", " 1.34.1 ", "1.34.1-alpha.2", "1.34.1+build.7", "1.34.1 (fork)"]
)
def test_a_version_may_be_written_in_many_ways(version: str) -> None:
    found = advisory(WEBJS, version)
    assert found is not None
    assert found.level == Level.BAD


def test_a_version_without_its_last_number_is_the_first_of_its_line() -> None:
    found = advisory(WEBJS, "1.26")
    assert found is not None
    assert found.level == Level.BAD


@pytest.mark.parametrize(
    "version", ["", "latest", "1", "1.", "1.34.1.7", "^1.34.1", "1.34.1" * 50, "٢.٣", "1.-34.1", "9" * 40, "💥", "\x00"]
)
def test_what_cannot_be_read_says_nothing(version: str) -> None:
    assert advisory(WEBJS, version) is None


@pytest.mark.parametrize("library", ["whatsapp-web.js", "WhatsApp-Web.js", "webjs", " WEBJS ", "whatsapp-web"])
def test_the_library_goes_by_several_names(library: str) -> None:
    assert advisory(library, "1.26.0") is not None


@pytest.mark.parametrize("library", ["", "whatsmeow", "baileys", "simulated", "whatsapp-web.js-fork"])
def test_another_library_of_that_version_is_another_thing(library: str) -> None:
    assert advisory(library, "1.26.0") is None


def test_it_is_said_in_the_readers_language() -> None:
    with translation.override("id"):
        found = advisory(WEBJS, "1.26.0")
        assert found is not None
        assert "Phones scan" not in str(found.meaning)
