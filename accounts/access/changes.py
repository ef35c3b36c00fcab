"""Compares a row before and after an action, and leaves out secrets, codes and texts: the audit must not hold them."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.db.models import Model

from accounts.fields import EncryptedTextField

CHANGED = "changed"  # all that is said of a field whose value is not kept
# Fields whose value is not kept: secrets and hashes of them, codes, texts of messages, raw data, pickled values.
HIDDEN_TYPES: tuple[type, ...] = (EncryptedTextField, models.BinaryField, models.FileField)
HIDDEN = re.compile(
    r"password|secret|token|hash|fingerprint|digest|^qr_(svg|png)$|pairing_code|^code$|^body|_body$|^text$|^message$|payload|^raw|key$"
    r"|^args$|^kwargs$|^result$"
)
# Fields that nobody's action sets: what follows from another field, and what bridges and programs write meanwhile.
LEFT_OUT = {
    "accounts.account": {"version", "updated_at", "phone_key", "new_phone_key"},
    "accounts.bridge": {
        "last_heard_at",
        "heard_since",
        "last_heartbeat_at",
        "last_polled_at",
        "boot",
        "booted_at",
        "failing_since",
        "orders_wait_until",
        "last_error",
        "sessions_reported",
        "says_draining",
        "says_draining_since",
    },
    "accounts.straysession": {"last_seen_at", "phone_key"},
    "accounts.user": {"last_login"},
    "api.workspacetoken": {"last_used_at"},
}
# Sets of rows that are defined at the other end, and belong to what a person is.
FROM_THE_OTHER_END = {"accounts.user": ["workspaces"]}

State = dict[str, Any]  # the values of a row by the name of the field: as stored; of many-to-many the primary keys


@dataclass(frozen=True)
class Change:
    before: dict[str, str] = field(default_factory=dict)
    after: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.before or self.after)


def state_of(row: Model) -> State | None:
    """The row as it stands in the database now; None: it is not there."""
    stored = type(row)._base_manager.filter(pk=row.pk).first()
    if stored is None:
        return None
    state = {each.name: getattr(stored, each.attname) for each in _columns(type(row))}
    return state | {name: sorted(getattr(stored, name).values_list("pk", flat=True)) for name in _sets(type(row))}


def between(model: type[Model], before: State | None, after: State | None) -> Change:
    """Return the fields that differ, as text. A state of None means that the row did not exist then."""
    old, new = before or {}, after or {}
    names = [name for name in {**old, **new} if _differs(old.get(name), new.get(name))]
    return Change(_shown(model, old, names), _shown(model, new, names) | _hidden(model, new, names))


def _shown(model: type[Model], state: State, names: list[str]) -> dict[str, str]:
    return {name: _text(model, name, state[name]) for name in names if name in state and not is_hidden(model, name)}


def _hidden(model: type[Model], state: State, names: list[str]) -> dict[str, str]:
    """A row that was deleted has no new values."""
    return {name: CHANGED for name in names if name in state and is_hidden(model, name)}


def is_hidden(model: type[Model], name: str) -> bool:
    """Whether the value of this field is never kept."""
    return keeps_out(name) or isinstance(model._meta.get_field(name), HIDDEN_TYPES)


def keeps_out(name: str) -> bool:
    """Whether a value of this name is a secret, a code, a text or raw data."""
    return HIDDEN.search(name) is not None


def of_form(asked: Mapping[str, Any]) -> dict[str, str]:
    """Return what somebody filled into a form, without secrets. The reason is left out: it has a column of its own."""
    told = {name: value for name, value in asked.items() if name != "reason" and not name.startswith("_")}
    return {f"asked.{name}": CHANGED if keeps_out(name) else _plain(value) for name, value in told.items() if value}


def _columns(model: type[Model]) -> Iterator[Any]:
    left_out = LEFT_OUT.get(model._meta.label_lower, set())
    for each in model._meta.concrete_fields:
        if not each.primary_key and not isinstance(each, models.GeneratedField) and each.name not in left_out:
            yield each


def _sets(model: type[Model]) -> list[str]:
    """A set that no form shows may be as long as a bridge has sessions."""
    own = [each.name for each in model._meta.many_to_many if each.editable]
    return own + FROM_THE_OTHER_END.get(model._meta.label_lower, [])


def _differs(old: Any, new: Any) -> bool:
    """An empty value is the same as none: of a new row only what is filled in is told."""
    return (old if old not in _EMPTY else None) != (new if new not in _EMPTY else None)


_EMPTY: tuple[Any, ...] = (None, "", [], {})


def _text(model: type[Model], name: str, value: Any) -> str:
    related = model._meta.get_field(name).related_model
    if related is None or isinstance(related, str) or value is None:
        return _plain(value)
    keys = value if isinstance(value, list) else [value]
    found = related._base_manager.in_bulk(keys)
    return ", ".join(f"{found[key]} (#{key})" if key in found else f"#{key}" for key in keys)


def _plain(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Model):
        return f"{value} (#{value.pk})"
    if isinstance(value, list | tuple | models.QuerySet):
        return ", ".join(map(_plain, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)
