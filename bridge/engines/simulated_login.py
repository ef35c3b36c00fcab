"""The files of a simulated phone in the directory of its session."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

DRAFT = ".new"
INBOX_LENGTH = 100  # a person looks at the last few; a load test sends millions


@dataclass(frozen=True)
class Login:
    """The login that a linked device keeps on disk."""

    phone: str
    device: int

    def jid(self) -> Mapping[str, object]:
        return {"device_jid": f"{self.phone}:{self.device}@s.whatsapp.net"} if self.phone else {}


class LoginFiles:
    def __init__(self, directory: Path) -> None:
        self._login = directory / "login.json"
        self._crashed = directory / "crashed"
        self._inbox = directory / "phone-inbox.jsonl"

    def read(self) -> Login | None:
        try:
            return Login(**json.loads(self._login.read_text()))
        except FileNotFoundError:
            return None

    def write(self, login: Login) -> None:
        _replace(self._login, json.dumps(asdict(login)), durable=True)

    def remove(self) -> None:
        for file in (self._login, self._crashed, self._inbox):
            file.unlink(missing_ok=True)
            file.with_suffix(DRAFT).unlink(missing_ok=True)  # left by a write that a kill broke off

    def first_crash(self) -> bool:
        """True once per login: a supervisor would otherwise restart a bridge that crashes for ever."""
        try:
            self._crashed.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def show(self, message: Mapping[str, object]) -> None:
        """Add a message to the phone's "screen", a file of the messages it sent and got, for people to read."""
        lines = self._inbox.read_text().splitlines() if self._inbox.exists() else []
        lines.append(json.dumps(message, ensure_ascii=False))
        _replace(self._inbox, "\n".join(lines[-INBOX_LENGTH:]) + "\n", durable=False)


def move_old_logins(root: Path) -> None:
    """Old versions kept logins side by side: ID.json, ID.crashed. After a kill in between, the next start goes on. A
    login that is there again was written by an old version since, and is the newer one."""
    for suffix, name in ((".json", "login.json"), (".crashed", "crashed")):
        for old in root.glob(f"*{suffix}"):
            (root / old.stem).mkdir(exist_ok=True, mode=0o700)
            old.replace(root / old.stem / name)


def _replace(path: Path, text: str, *, durable: bool) -> None:
    """Write the file whole or not at all: the process may be killed at any line."""
    draft = path.with_suffix(DRAFT)
    with draft.open("w") as file:
        file.write(text)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    draft.replace(path)
