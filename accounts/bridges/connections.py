"""Connections to bridges: only to addresses that were checked, and with an end in time, however slow the answer."""

import errno
import ssl
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import httpcore

from accounts.bridges import addresses

UNREACHED = (httpcore.ConnectError, httpcore.ConnectTimeout)
NOBODY_THERE = frozenset({errno.ECONNREFUSED, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH})


class NobodyThere(httpcore.ConnectError):
    """Nobody listens there, or no way leads there. After a reset or a time-out something may be under way."""


class CheckedAddresses(httpcore.NetworkBackend):
    """Connects only to the addresses that were checked; `Host` and the certificate still use the name."""

    def __init__(self, give_up: float) -> None:
        self._give_up = give_up
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        *others, last = addresses.allowed_addresses(host, port, within=self._left())
        for address in others:
            with suppress(*UNREACHED):  # localhost is ::1 and 127.0.0.1, and a bridge may listen on one of them
                return self._connect(address, port)
        return self._connect(last, port)

    def _connect(self, address: str, port: int) -> httpcore.NetworkStream:
        try:
            return _Hurried(self._sockets.connect_tcp(address, port, self._left()), self._give_up)
        except httpcore.ConnectError as error:
            number = getattr(error.__cause__, "errno", None)
            raise (NobodyThere if number in NOBODY_THERE else type(error)) from error

    def _left(self) -> float:
        return _left(self._give_up, httpcore.ConnectTimeout)


class _Hurried(httpcore.NetworkStream):
    """A connection with one deadline for all: with a time-out per read, an answer that drips would never end."""

    def __init__(self, stream: httpcore.NetworkStream, give_up: float) -> None:
        self._stream = stream
        self._give_up = give_up

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._give_up))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._give_up))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _left(self._give_up))
        return _Hurried(stream, self._give_up)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(give_up: float, too_late: type[httpcore.TimeoutException] = httpcore.ReadTimeout) -> float:
    left = give_up - time.monotonic()
    if left <= 0:
        raise too_late
    return left
