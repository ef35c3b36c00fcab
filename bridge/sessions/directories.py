"""Each session's login in a directory of its own, `<data dir>/<engine>/<session id>`, used by one process at a time.

The data directory has a lock too. This one is for cases which that cannot see: two data directories that share their
logins (a network disk, a link), and a directory that was copied while its client ran.
"""

import contextlib
import fcntl
import os
import socket
from pathlib import Path
from typing import IO

from bridge.engines.base import EngineError

LOCK = "lock"


def claim(path: Path) -> "Claim":
    """Claim a directory, and make it if needed. Raises EngineError: in use, a copy of one in use, or not writable."""
    try:
        while True:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            claim = _try_claim(path)
            if claim:
                claim.refuse_copy()
                claim.sign()
                return claim
    except BlockingIOError:
        raise EngineError(f"The login of this session is in use by {_owner(path)}") from None
    except OSError as error:
        raise EngineError(f"The directory of this session's login cannot be used: {error.strerror}") from error


def has_login(path: Path) -> bool:
    """Whether anything but a lock is there. An unreadable directory counts: `claim` says what is wrong with it, and
    it must not keep all others from starting."""
    try:
        return any(entry.name != LOCK for entry in path.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _try_claim(path: Path) -> "Claim | None":
    """Return None when the last owner has just removed the directory: a lock on a removed file keeps nobody out."""
    try:
        lock = (path / LOCK).open("a+")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        claim = Claim(path, lock)
        if claim.is_in_place():
            return claim
    except BaseException:
        lock.close()
        raise
    lock.close()
    return None


class Claim:
    """A claim is held until `release`, or until the process ends, however it ends."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self._lock = lock

    def is_in_place(self) -> bool:
        try:
            return str((self.path / LOCK).stat().st_ino) == self._inode()
        except FileNotFoundError:
            return False

    def refuse_copy(self) -> None:
        """The lock's text names its owner and its own inode, and an orderly release empties it: a text with another
        inode was copied with a directory in use, whose client may still run."""
        self._lock.seek(0)
        owner, _, inode = self._lock.read().rpartition(" ")
        if owner and inode != self._inode():
            self._lock.close()
            raise EngineError(
                f"The login of this session is a copy, made while {owner} used it. WhatsApp logs out a login that "
                "runs twice: copy it again after its session was stopped, or, if that is surely so, delete the "
                f"file {LOCK} in its directory"
            )

    def sign(self) -> None:
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {socket.gethostname()} {self._inode()}")
        self._lock.flush()

    def release(self) -> None:
        """Release the claim, and remove a directory that never got a login."""
        if self._lock.closed:
            return
        # Another process may have removed the directory, or claim it between the two removals.
        with self._lock, contextlib.suppress(OSError):
            self._lock.truncate(0)
            if self.is_in_place() and not has_login(self.path):
                (self.path / LOCK).unlink()  # a process that opened it meanwhile sees that it is gone
                self.path.rmdir()

    def _inode(self) -> str:
        return str(os.fstat(self._lock.fileno()).st_ino)


def _owner(path: Path) -> str:
    try:
        return (path / LOCK).read_text().rpartition(" ")[0] or "another process"
    except OSError:
        return "another process"
