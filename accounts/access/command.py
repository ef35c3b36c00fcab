"""Commands that change something. Each run of one leaves an entry in the audit."""

import getpass
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.db.models import Model

from accounts.access import audit, changes
from accounts.access.changes import Change, State

# Options of every command, which say how it talks and not what it does.
_OF_EVERY_COMMAND = {"verbosity", "settings", "pythonpath", "traceback", "no_color", "force_color", "skip_checks"}


class AuditedMixin:
    """Notes who ran a command, and with what options, where the command has noted nothing itself."""

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    def note(self, action: str, row: Model, before: State | None) -> None:
        """Note what became of the row since `before`; None: it is new. The caller's transaction is the change's."""
        self.note_change(action, row, changes.between(type(row), before, changes.state_of(row)))

    def note_change(
        self, action: str, row: Model | None, change: Change, *, reason: str = "", refused: str = ""
    ) -> None:
        who, before, after = who_runs(self.name), change.before, change.after
        audit.record(action, who=who, of=row, before=before, after=after, reason=reason, refused=refused)

    def execute(self, *args: Any, **options: Any) -> Any:
        before = audit.written()
        try:
            result = super().execute(*args, **options)  # type: ignore[misc]  # of the command that this is mixed into
        except CommandError as refusal:
            with suppress(DatabaseError):  # its absence may be the very reason
                self._note_the_run(options, refused=str(refusal))
            raise
        if audit.written() == before:
            self._note_the_run(options)
        return result

    def _note_the_run(self, options: dict[str, Any], *, refused: str = "") -> None:
        said = {name: value for name, value in options.items() if name not in _OF_EVERY_COMMAND}
        self.note_change(f"command.{self.name}", None, Change(after=changes.of_form(_plain(said))), refused=refused)


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
