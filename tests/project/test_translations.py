"""Indonesian is complete. After changing words:

python manage.py makemessages -l id --no-obsolete --add-location file -i .venv -i var -i tests -i bridge
(fill in what is empty in locale/id/LC_MESSAGES/django.po), then: pybabel compile -d locale -D django

Unfold ships no Indonesian. Its words stay in our catalogue because sessions_admin/unfold_labels.py lists them; a test
below finds what a new version of unfold adds.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import django
import pytest
import unfold
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.utils.translation.template import templatize

from tests.support import ROOT

FILE = ROOT / "locale" / "id" / "LC_MESSAGES" / "django.po"
APPS = ("accounts", "api", "config", "linking", "sessions_admin", "webhooks")
KEYWORDS = DEFAULT_KEYWORDS | {
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext_lazy": (1, 2),
    "pgettext_lazy": ((1, "c"), 2),
}
PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|%[sd]|\{\w*\}|</?\w+[^>]*>")


def of_python() -> Iterator[str]:
    for app in APPS:
        for file in sorted((ROOT / app).rglob("*.py")):
            yield from ids(file.read_bytes())


def of_templates() -> Iterator[str]:
    for folder in ("templates", *(f"{app}/templates" for app in APPS)):
        for file in sorted((ROOT / folder).rglob("*.*")):
            yield from of_template(file)


def of_template(file: Path) -> Iterator[str]:
    # The calls that makemessages would see; what stands around them is crossed out, and not Python.
    source = templatize(file.read_text(), origin=str(file))
    calls = re.findall(r"\b\w*gettext\(.*?['\"]\s*(?:,\s*count)?\)", source, re.DOTALL)
    yield from ids("\n".join(calls).encode())


def of_unfold() -> Iterator[str]:
    """Without the parts that we do not install."""
    folder = Path(unfold.__file__).parent
    for file in sorted(folder.rglob("*.*")):
        if not {"contrib", "unfold_crispy"} & set(file.relative_to(folder).parts):
            if file.suffix == ".py":
                yield from ids(file.read_bytes())
            elif file.suffix == ".html":
                yield from of_template(file)


def ids(source: bytes) -> Iterator[str]:
    for _line, message, _comments, _context in extract("python", io.BytesIO(source), keywords=KEYWORDS):
        yield message[0] if isinstance(message, tuple) else message


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    with FILE.open("rb") as file:
        return read_po(file)


def messages(catalog: Catalog) -> list[Message]:
    return [message for message in catalog if message.id]


def forms(text: str | list[str] | tuple[str, ...] | None) -> list[str]:
    assert text is not None
    return [text] if isinstance(text, str) else list(text)


@pytest.mark.parametrize("source", [of_python, of_templates])
def test_every_word_is_translated(catalog: Catalog, source: object) -> None:
    assert callable(source)
    found = set(source())
    known = {forms(message.id)[0] for message in messages(catalog) if all(forms(message.string))}
    assert len(found) > 40
    assert sorted(found - known) == []


def test_every_word_of_unfold_is_translated(catalog: Catalog) -> None:
    known = {forms(message.id)[0] for message in messages(catalog)}
    listed = set(ids((ROOT / "sessions_admin" / "unfold_labels.py").read_bytes()))
    found = set(of_unfold())
    for part in ("conf", "contrib/admin", "contrib/auth"):
        with (Path(django.__file__).parent / part / "locale/id/LC_MESSAGES/django.mo").open("rb") as file:
            known |= {forms(message.id)[0] for message in messages(read_mo(file))}
    assert sorted(found - known) == []
    assert sorted(listed - found) == []


def test_nothing_is_guessed_or_left_over(catalog: Catalog) -> None:
    assert [message.id for message in messages(catalog) if message.fuzzy or not all(forms(message.string))] == []
    assert list(catalog.obsolete) == []


def test_translations_keep_their_placeholders(catalog: Catalog) -> None:
    for message in messages(catalog):
        wanted = sorted(PLACEHOLDER.findall(forms(message.id)[-1]))
        for form in forms(message.string):
            assert sorted(PLACEHOLDER.findall(form)) == wanted, message.id


def test_what_is_compiled_is_what_is_written(catalog: Catalog) -> None:
    with FILE.with_suffix(".mo").open("rb") as file:
        compiled = {forms(message.id)[0]: forms(message.string) for message in messages(read_mo(file))}
    assert compiled == {forms(message.id)[0]: forms(message.string) for message in messages(catalog)}


def test_the_menu_words_are_those_of_whatsapp(catalog: Catalog) -> None:
    for message in messages(catalog):
        for english, indonesian in (("Linked devices", "Perangkat tertaut"), ("Link a device", "Tautkan perangkat")):
            if english in forms(message.id)[0]:
                assert indonesian in forms(message.string)[0], message.id
