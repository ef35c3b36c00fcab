"""Commands that change something. Each run of one leaves an entry in the audit."""

import getpass
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Model

from accounts.access import audit, changes
from accounts.access.changes import Change, State

# Options of every command, which say how it talks and not what it does.
_OF_EVERY_COMMAND = {"verbosity", "settings", "pythonpath", "traceback", "no_color", "force_color", "skip_checks"}


class AuditedMixin:
    """Notes who ran a command, and with what options, where the command has noted nothing itself."""

    _noted = False

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    def note(self, action: str, row: Model, before: State | None, *, after: dict[str, str] | None = None) -> None:
        """Note what became of the row since `before`; None: it is new. The caller does it in the change's transaction."""
        change = changes.between(type(row), before, changes.state_of(row))
        self.note_change(action, row, Change(change.before, change.after | (after or {})))

    def note_change(self, action: str, row: Model | None, change: Change) -> None:
        audit.record(action, who=who_runs(self.name), of=row, before=change.before, after=change.after)
        self._noted = True

    def execute(self, *args: Any, **options: Any) -> Any:
        self._noted = False
        result = super().execute(*args, **options)  # type: ignore[misc]  # of the command that this is mixed into
        if not self._noted:
            said = {name: value for name, value in options.items() if name not in _OF_EVERY_COMMAND}
            self.note_change(f"command.{self.name}", None, Change(after=changes.of_form(_plain(said))))
        return result


class AuditedCommand(AuditedMixin, BaseCommand):
    """The base of our commands that change something."""


def who_runs(command: str) -> str:
    """The command, and the user of the operating system if there is one: a container may run under a bare number."""
    try:
        return f"command: {command} ({getpass.getuser()})"
    except (KeyError, OSError):
        return f"command: {command}"


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """Streams and the like, which `call_command` hands over, are no options."""
    kept = (str, int, float, list, tuple)
    return {name: value for name, value in options.items() if isinstance(value, kept)}
