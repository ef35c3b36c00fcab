"""Checks of the ids that name a session. All raise ValueError with words for the caller."""

import re

SESSION_ID = re.compile(r"[-_A-Za-z0-9]{1,191}", re.ASCII)  # 191: the portal's column
PHONE = re.compile(r"[0-9]{8,15}", re.ASCII)


def session_id_of(value: object) -> str:
    """Check a session id. This also keeps paths safe, because engines name their files by it."""
    if isinstance(value, str) and SESSION_ID.fullmatch(value):
        return value
    raise ValueError("session_id must be 1 to 191 letters, digits, _ or -")


def workspace_id_of(value: object) -> int | str:
    return _id(value, "workspace_id is required, a number or a string")


def account_id_of(value: object) -> int | str:
    """Check an account id. Without it a restart cannot say whose session it restores: this lost whole installations."""
    return _id(value, "account_id is required: a session that nobody owns cannot be restored")


def phone_of(value: object) -> str:
    if isinstance(value, str) and PHONE.fullmatch(value):
        return value
    raise ValueError("Invalid phone number format")


def _id(value: object, complaint: str) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str) or not 1 <= len(str(value)) <= 191:
        raise ValueError(complaint)
    return value
