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
# The storeys of `accounts/`: each imports only from those behind it. Two on one storey do not know each other.
STOREYS = (
    {"apps", "management"},
    {"tasks"},
    {"housekeeping"},
    {"delivery"},
    {"reconcile"},
    {"snapshots"},
    {"pairing"},
    {"orders"},
    {"bridges"},
    {"jobs"},
    {"access"},
    {"models"},
    {"failures"},
    {"db"},
    {"logs"},
    {"lifecycle"},
    {"phones", "qr", "shown_codes", "fields", "broadcasts"},
    {"numbering_plans"},
)
STOREY = {name: number for number, names in enumerate(STOREYS) for name in names}
MODULES_AT_MOST = 12  # directly in accounts/
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


def packages_behind(path: Path) -> set[str]:
    """The first names below `accounts`: `orders` in `from accounts.orders import turns`."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "accounts":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("accounts."):
            found.add(str(node.module).split(".")[1])
    return found


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


def inside_accounts() -> list[Path]:
    return [path for path in modules() if path.parts[0] == "accounts" and path.parts[1] != "migrations"]


def storey_of(path: Path) -> str:
    return path.parts[1].removesuffix(".py")


def test_every_module_of_accounts_stands_on_a_storey() -> None:
    assert {storey_of(path) for path in inside_accounts()} - {"__init__"} == set(STOREY)


def test_stairs_in_accounts_lead_down_only() -> None:
    wrong = [
        f"{path} imports accounts.{name}"
        for path in inside_accounts()
        for name in packages_behind(path) - {storey_of(path)}
        if STOREY[name] <= STOREY.get(storey_of(path), -1)
    ]
    assert wrong == []


def test_few_modules_of_accounts_belong_to_no_package() -> None:
    assert len([path for path in inside_accounts() if len(path.parts) == 2]) <= MODULES_AT_MOST


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
