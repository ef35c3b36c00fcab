"""The environment variables that config/settings.py reads."""

import ast
import re

from tests.support import ROOT

READS = re.compile(r"env(\.(bool|int|list))?|networks")


def calls_in(path: str) -> list[ast.Call]:
    return [node for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.Call)]


def read_by_settings() -> dict[str, str]:
    """Variable -> default, where that is a number."""
    found = {f"LINKDESK_LANE_{lane}": "" for lane in ("ORDERS", "DEFAULT", "LOW")}  # named by an f-string
    for call in calls_in("config/settings.py"):
        name = call.args[0] if call.args else None
        if READS.fullmatch(ast.unparse(call.func)) and isinstance(name, ast.Constant):
            default = next((ast.unparse(word.value) for word in call.keywords if word.arg == "default"), "")
            found[ast.literal_eval(name)] = default if default.isdecimal() else ""
    return found
