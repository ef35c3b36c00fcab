"""Who writes a column that has one writer: found in the source, whatever way it is written."""

import ast
from collections.abc import Iterator

from tests.support import ROOT

FOLDERS = ("accounts", "api", "webhooks", "linking", "sessions_admin")
CALLS = frozenset({"update", "update_or_create", "bulk_create", "create", "get_or_create"})


def sources() -> Iterator[tuple[str, ast.AST]]:
    """The modules of the desk and their paths, without migrations."""
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            if "migrations" not in path.parts:
                yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def writers(tree: ast.AST, field: str, *, model: str) -> Iterator[ast.AST]:
    """Assignments to `.<field>`, `setattr(..., "<field>", ...)`, and calls that write it through a query."""
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        flat = [item for target in targets for item in (target.elts if isinstance(target, ast.Tuple) else [target])]
        if any(isinstance(target, ast.Attribute) and target.attr == field for target in flat):
            yield node
        if isinstance(node, ast.Call) and _writes(node, field, model=model):
            yield node


def _writes(call: ast.Call, field: str, *, model: str) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name == "setattr":
        return any(isinstance(argument, ast.Constant) and argument.value == field for argument in call.args)
    return name in CALLS | {model} and any(keyword.arg == field for keyword in call.keywords)
