"""The commands of docs/operations.md, as they stand there."""

import os
import re
import subprocess
from collections.abc import Mapping

from tests.support import ROOT


def commands_below(heading: str) -> str:
    """The first block of bash below it."""
    text = (ROOT / "docs" / "operations.md").read_text()
    commands = re.search(rf"^#+ {heading}$.*?^ *```bash\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    assert commands, heading
    return commands[1]


def run_bash(commands: str, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    command = ["bash", "-c", commands]
    return subprocess.run(
        command, env=os.environ | environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
