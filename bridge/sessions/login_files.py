"""Session logins are files, which can be listed, backed up, and moved to another machine."""

import io
import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bridge.database import FILE_NAME, Database
from bridge.engines import ENGINES
from bridge.engines.base import EngineError
from bridge.errors import ConfigurationError
from bridge.sessions import stored
from bridge.sessions.directories import LOCK, claim, has_login
from bridge.sessions.identifiers import SESSION_ID, account_id_of, session_id_of, workspace_id_of
from bridge.sessions.stored import Session

ABOUT = "session.json"
LOGIN = "login"
LARGEST_ABOUT = 2**20
# The columns of a session's row, without those that the next client reports anew.
KEPT = ("workspace_id", "account_id", "options", "phone_number", "logged_in", "created_at")


def list_sessions(data_dir: Path, engine: str) -> list[str]:
    """Return a line for each: id, `stopped` or its owner, whether the bridge starts it itself. No phone numbers."""
    paths = sorted(path for path in _logins(data_dir, engine).glob("[!.]*") if path.is_dir())
    rows = _stored(data_dir)
    return [
        "\t".join([path.name, _state(path), "starts with the bridge" if path.name in rows else "kept"])
        for path in paths
    ]


def export_session(data_dir: Path, engine: str, session_id: str, *, file: Path) -> bool:
    """Return True when this bridge would start it again by itself. Raises ConfigurationError: not here, in use, or
    the file exists already."""
    path = _logins(data_dir, engine) / session_id
    if not SESSION_ID.fullmatch(session_id) or not path.is_dir():
        raise ConfigurationError(f"{session_id} has no login here")
    with _held(path):
        if not has_login(path):
            raise ConfigurationError(f"{session_id} has no login here")
        row = _stored(data_dir).get(session_id)
        kept = row and {name: getattr(row, name) for name in KEPT}
        about = {"format": 1, "engine": engine, "session_id": session_id, "row": kept}
        try:
            _write_tar(file, json.dumps(about).encode(), login=path)
        except FileExistsError:
            raise ConfigurationError(f"{file} is there already") from None
        except OSError as error:
            raise ConfigurationError(f"cannot write {file}: {error.strerror}") from error
    return row is not None


def import_session(data_dir: Path, engine: str, *, file: Path) -> str:
    """Return the id of the session. Raises ConfigurationError: not such a file, or the session is here already."""
    try:
        with tarfile.open(file) as tar:
            about = _about(tar)
            if about["engine"] != engine:
                raise ConfigurationError(f"it is a login of the engine {about['engine']!r}, not of {engine!r}")
            session_id = session_id_of(about["session_id"])
            row = about["row"] and _row(session_id, about["row"])
            _take_in(_logins(data_dir, engine), session_id, tar=tar)
    except (OSError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"cannot import {file}: {error}") from error
    if row:
        database = Database(data_dir)
        database.transact(partial(stored.save, session=row))
        database.close()
    return session_id


def _write_tar(file: Path, about: bytes, *, login: Path) -> None:
    """Write whole or not at all. Only the owner may read the file: its reader can take over the account."""
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as stream:
        try:
            with tarfile.open(fileobj=stream, mode="w") as tar:
                member = tarfile.TarInfo(ABOUT)
                member.size = len(about)
                tar.addfile(member, io.BytesIO(about))
                tar.add(login, LOGIN, filter=_without_lock)
            stream.flush()
            os.fsync(stream.fileno())
        except BaseException:
            file.unlink()
            raise


def _without_lock(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if member.name == f"{LOGIN}/{LOCK}" else member


def _about(tar: tarfile.TarFile) -> dict[str, Any]:
    member = tar.next()
    stream = tar.extractfile(member) if member and member.name == ABOUT and member.size < LARGEST_ABOUT else None
    about = json.load(stream) if stream else None
    if not isinstance(about, dict) or about.get("format") != 1:
        raise ValueError("not a session that a bridge exported")
    return about


def _row(session_id: str, kept: dict[str, Any]) -> Session:
    workspace_id_of(kept["workspace_id"])
    account_id_of(kept["account_id"])
    return Session(session_id, **{name: kept[name] for name in KEPT})


def _take_in(logins: Path, session_id: str, *, tar: tarfile.TarFile) -> None:
    """Unpack beside the final place first: after a kill there must not be half a login there."""
    draft = logins / f".import-{session_id}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True, mode=0o700)
    try:
        members = [member for member in tar.getmembers() if member.name.startswith(f"{LOGIN}/")]
        tar.extractall(draft, members, filter="data")
        _to_disk(draft)
        path = logins / session_id
        with _held(path):
            if has_login(path):
                raise ConfigurationError(f"{session_id} has a login here already")
        # If another process claims it between these lines, the directory is not empty, and this fails.
        (draft / LOGIN).rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _to_disk(directory: Path) -> None:
    """Sync to disk: the exported file may be deleted as soon as we have said that the session is here."""
    for path in (directory, *directory.rglob("*")):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _stored(data_dir: Path) -> dict[str, Session]:
    """Load the stored sessions. The bridge may run meanwhile: SQLite has many readers."""
    if not (data_dir / FILE_NAME).exists():
        return {}
    database = Database(data_dir)
    sessions = database.transact(stored.load_all)
    database.close()
    return {session.session_id: session for session in sessions}


def _state(path: Path) -> str:
    try:
        with _held(path):
            return "stopped"
    except ConfigurationError as error:
        return str(error)


@contextmanager
def _held(path: Path) -> Iterator[None]:
    try:
        held = claim(path)
    except EngineError as error:
        raise ConfigurationError(str(error)) from None
    try:
        yield
    finally:
        held.release()


def _logins(data_dir: Path, engine: str) -> Path:
    if engine not in ENGINES:
        raise ConfigurationError(f"unknown engine {engine!r}: there is {', '.join(sorted(ENGINES))}")
    return data_dir / engine
