"""How much a reader must hold in mind at once: few branches in a function, few lines in a function and in a file.

The linter's complexity does not see `and`, `or`, conditional expressions and comprehensions. This count does: one for
the function, and one for each place where its way may part.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

OURS = ("accounts", "api", "webhooks", "linking", "sessions_admin", "bridge", "config", "deploy")
BRANCHES_BELOW = 10
LINES_AT_MOST = 50  # of a function
FILE_LINES_AT_MOST = 300
PARTING = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def files() -> list[Path]:
    paths = [path for package in OURS for path in sorted((ROOT / package).rglob("*.py"))]
    return [path for path in paths if "migrations" not in path.parts]


def functions(tree: ast.AST) -> list[Function]:
    return [node for node in ast.walk(tree) if isinstance(node, FUNCTIONS)]


def branches(function: Function) -> int:
    return 1 + sum(_weight(node) for statement in function.body for node in _own(statement))


def lines(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _own(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all in it, without the functions and classes in it: these count for themselves."""
    if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from _own(child)


def _weight(node: ast.AST) -> int:
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return int(isinstance(node, PARTING))


def named(path: Path, function: Function) -> str:
    return f"{path.relative_to(ROOT)}:{function.lineno} {function.name}"


def test_no_function_has_ten_branches() -> None:
    counted = {named(path, each): branches(each) for path in files() for each in functions(_tree(path))}
    assert len(counted) > 1_000
    assert {name: count for name, count in counted.items() if count >= BRANCHES_BELOW} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    counted = {named(path, each): lines(each) for path in files() for each in functions(_tree(path))}
    assert {name: count for name, count in counted.items() if count > LINES_AT_MOST} == {}


def test_no_file_is_longer_than_300_lines() -> None:
    counted = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files()}
    assert {name: count for name, count in counted.items() if count > FILE_LINES_AT_MOST} == {}


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ("pass", 1),
        ("with a as b: pass", 1),
        ("assert a", 1),
        ("if a: pass", 2),
        ("if a: pass\n    elif b: pass\n    else: pass", 3),
        ("return b if a else c if d else e", 3),
        ("return a and b and c or d", 4),
        ("return not a", 1),
        ("for a in b: pass", 2),
        ("async for a in b: pass", 2),
        ("while a: pass", 2),
        ("try: pass\n    except A: pass\n    except B: pass\n    finally: pass", 3),
        ("return [a for b in c for a in b if a if d]", 5),
        ("return {a: b for a, b in c}", 2),
        ("return sum(a for a in b if a and c)", 4),
        ("match a:\n        case 1: pass\n        case _: pass", 3),
        ("return sorted(a, key=lambda b: b or c)", 2),
    ],
)
def test_each_place_where_the_way_parts_counts(body: str, count: int) -> None:
    (function,) = functions(ast.parse(f"async def f(a, b=1 if x else 2):\n    {body}\n"))
    assert branches(function) == count


def test_a_function_in_a_function_counts_for_itself() -> None:
    outer, inner = functions(
        ast.parse("def f():\n    if a: pass\n    def g():\n        if b or c: pass\n    return g\n")
    )
    assert (outer.name, branches(outer), inner.name, branches(inner)) == ("f", 2, "g", 3)
    assert (lines(outer), lines(inner)) == (5, 2)


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())
