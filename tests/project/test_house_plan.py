"""The rooms of the house and the doors between them (docs/architecture.md): an import that is not here fails."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

DOORS = {
    "accounts": set(),
    "api": {"accounts"},
    "webhooks": {"api", "accounts"},
    "linking": {"api", "accounts"},
    "sessions_admin": {"webhooks", "api", "accounts"},
    "bridge": set(),
    "config": set(),  # names the others by text only
}
NO_DJANGO = {"django", "rest_framework", "channels", "django_q", "environ"}
NAMES_THAT_SAY_NOTHING = {"utils", "helpers", "services", "managers", "common", "misc"}


def modules() -> list[Path]:
    return [path.relative_to(ROOT) for room in DOORS for path in sorted((ROOT / room).rglob("*.py"))]


def imported(tree: ast.AST, path: Path) -> Iterator[str]:
    """The full names of what is imported anywhere in it, also inside functions and by `import_module("...")`.

    `config` may name what it likes by text: that is how it knows the apps.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            here = path.parent.parts[: len(path.parent.parts) - node.level + 1] if node.level else ()
            yield ".".join([*here, *([node.module] if node.module else [])])
        elif isinstance(node, ast.Call) and path.parts[0] != "config":
            yield from _by_text(node)


def _by_text(call: ast.Call) -> Iterator[str]:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if (
        name in {"import_module", "import_string", "__import__"}
        and call.args
        and isinstance(call.args[0], ast.Constant)
    ):
        yield str(call.args[0].value)


def rooms_behind(path: Path) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {name.partition(".")[0] for name in imported(tree, path)}


def test_the_rooms_are_there() -> None:
    assert {path.parts[0] for path in modules()} == set(DOORS)


@pytest.mark.parametrize("room", DOORS)
def test_a_room_opens_only_its_own_doors(room: str) -> None:
    allowed = DOORS[room] | {room}
    wrong = {
        str(path): forbidden
        for path in modules()
        if path.parts[0] == room and (forbidden := rooms_behind(path) & DOORS.keys() - allowed)
    }
    assert wrong == {}


def test_the_bridge_knows_no_django() -> None:
    assert not [path for path in modules() if path.parts[0] == "bridge" and rooms_behind(path) & NO_DJANGO]


def test_the_lifecycle_knows_no_database() -> None:
    """Pure: what it takes from Django is text and choices."""
    path = Path("accounts/lifecycle.py")
    names = set(imported(ast.parse((ROOT / path).read_text()), path))
    assert names <= {"django.db.models", "django.utils.translation"}
    tree = ast.parse((ROOT / path).read_text())
    taken = {a.name for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) for a in n.names}
    assert taken <= {"TextChoices", "gettext_lazy"}


def test_the_domain_speaks_to_bridges_in_one_place() -> None:
    speakers = {"httpx", "httpcore", "requests", "urllib3", "aiohttp"}
    found = [str(path) for path in modules() if path.parts[0] != "bridge" and rooms_behind(path) & speakers]
    assert sorted(found) == ["accounts/bridges/client.py", "accounts/bridges/connections.py"]


def test_unfold_is_imported_in_one_module() -> None:
    assert len([path for path in modules() if "unfold" in rooms_behind(path)]) == 1


def test_every_module_is_named_for_what_it_is_about() -> None:
    assert not [path for path in modules() if {path.stem, *path.parent.parts} & NAMES_THAT_SAY_NOTHING]


@pytest.mark.parametrize(
    "code",
    [
        "import webhooks.inbox",
        "from webhooks import inbox",
        "from webhooks.models import WebhookEvent",
        "def f():\n    from webhooks import inbox",
        "if TYPE_CHECKING:\n    from webhooks.models import WebhookEvent",
        "import_module('webhooks.inbox')",
        "importlib.import_module('webhooks.inbox')",
        "import_string('webhooks.inbox.receive.receive')",
    ],
)
def test_the_walk_sees_every_way_to_import(code: str) -> None:
    assert "webhooks" in {name.partition(".")[0] for name in imported(ast.parse(code), Path("accounts/x.py"))}
