"""What a comment points to is there: each document, each heading, each section of docs/bridge-contract.md."""

import re
from pathlib import Path

import pytest

from tests.support import ROOT

ROOMS = (
    "accounts",
    "api",
    "benchmarks",
    "bridge",
    "config",
    "deploy",
    "linking",
    "sessions_admin",
    "tests",
    "webhooks",
)
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
DOCUMENT = re.compile(r'docs/([\w-]+\.md)(?:\s?\(|,\s)?(?:"([^"]+)")?')
SECTION = re.compile(r"contract(?:\.md)?,?(?: section)? (\d(?:\.\d)?)(?: and (\d\.\d))?\b", re.IGNORECASE)
RULES = re.compile(r'\b[Rr]ules?((?: (?:and )?"[A-Z][^"]+")+)')
LINK = re.compile(r"\]\((?!http|#)([^)#\s]+)")


def text_of(path: Path) -> str:
    """As it is read: a sentence may go on in the next line, behind a number sign."""
    return re.sub(r"\s*\n\s*(#\s)?", " ", path.read_text())


def headings(name: str) -> list[str]:
    return re.findall(r"^#+ (.+)$", (ROOT / "docs" / name).read_text(), re.MULTILINE)


def broken(text: str) -> list[str]:
    """What it points to in vain."""
    sections = {heading.split()[0].rstrip(".") for heading in headings("bridge-contract.md")}
    missing = [number for found in SECTION.findall(text) for number in found if number and number not in sections]
    for name, heading in DOCUMENT.findall(text):
        if not (ROOT / "docs" / name).exists():
            missing.append(name)
        elif heading and heading not in headings(name):
            missing.append(f"{name}, {heading}")
    return missing


def test_every_rule_that_the_code_names_is_in_the_document() -> None:
    """By its name; a number would send the reader away."""
    named = {
        rule for path in SOURCES for found in RULES.findall(text_of(path)) for rule in re.findall(r'"(.+?)"', found)
    }
    assert named <= set(headings("rules.md"))
    assert not [str(path) for path in SOURCES if re.search(r"\b[Rr]ules? \d", text_of(path))]


def test_every_pointer_in_the_code_leads_somewhere() -> None:
    wrong = {str(path.relative_to(ROOT)): found for path in SOURCES if (found := broken(text_of(path)))}
    wrong.pop("tests/project/test_pointers.py", None)
    assert wrong == {}


@pytest.mark.parametrize(
    "path", [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))], ids=lambda path: path.name
)
def test_every_link_between_the_documents_leads_somewhere(path: Path) -> None:
    assert [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()] == []


@pytest.mark.parametrize(
    "text",
    [
        "docs/nowhere.md",
        'docs/bridge-api.md, "Acks"',
        "contract 1.9",
        "contract, section 7",
        "docs/bridge-contract.md, 6",
    ],
)
def test_a_pointer_in_vain_is_found(text: str) -> None:
    assert broken(text)
