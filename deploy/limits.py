"""Limits of the operating system that a process may raise for itself."""

import contextlib
import resource

OPEN_FILES = 65_536  # each page that is open holds a socket, and the usual 1,024 are few


def raise_open_files() -> None:
    """Allow as many open files as we want, or as the machine lets us have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(ValueError):  # a system's own limit may be below what it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
