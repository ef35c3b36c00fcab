"""Refuses connections to MariaDB and Redis in every Python process that finds this on its PYTHONPATH, children too."""

import errno
import sys
from typing import Any

PORTS = {3306, 6379}


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple) and arguments[1][1] in PORTS:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "there is no such service on a newcomer's machine")


sys.addaudithook(refuse)
