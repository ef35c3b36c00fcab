"""Decides where a bridge may be: its host is resolved once, and only addresses that were checked are connected to.

A bridge's URL is typed by staff. Without this, http://169.254.169.254/ would let them read the secrets of the machine
that the desk runs on, and a host name could resolve to other addresses for the call than for the check.
"""

import re
import socket
import threading
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings

# Metadata services of clouds in ranges otherwise allowed; a link-local one (169.254.169.254) is refused as such.
METADATA = frozenset(
    ip_address(text)
    for text in (
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS
        "fd00:42::42",  # Scaleway
        "fd20:ce::254",  # Google
    )
)
THIS_NETWORK = ip_network("0.0.0.0/8")  # some systems take it for the machine itself
ODD = ("is_link_local", "is_multicast", "is_unspecified", "is_reserved", "is_site_local")  # the last: IPv6 only
IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}", re.ASCII)  # nothing to resolve
NAT64 = ip_network("64:ff9b::/96")  # the last four bytes are an IPv4 address


class NotAllowed(Exception):
    """Every address of the host is one that a bridge may not have."""


class Unresolved(Exception):
    """No address of the host was found in time."""


class Unknown(Unresolved):
    """The resolver has answered that the name has no address: it is not slow or down."""


def allowed_addresses(host: str, port: int, *, within: float) -> list[str]:
    """The host's addresses that may be connected to, best first. Raises NotAllowed, Unresolved."""
    found = _resolve(host, port, within=within)
    allowed = [address for address in found if is_allowed(address)]
    if not allowed:
        raise NotAllowed(f"its address {found[0]} is not allowed")
    return allowed


def is_allowed(text: str) -> bool:
    """Whether it lies in LINKDESK_BRIDGE_NETWORKS; without these, whether a bridge could have it.

    Private and loopback addresses are where a bridge normally runs.
    """
    address = _meant(ip_address(text))
    if settings.LINKDESK_BRIDGE_NETWORKS:
        return any(address in ip_network(network) for network in settings.LINKDESK_BRIDGE_NETWORKS)
    if address.is_loopback:  # ::1 counts as reserved too
        return True
    is_odd = any(getattr(address, name, False) for name in ODD)
    return not (is_odd or address in THIS_NETWORK or address in METADATA)


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address


def _resolve(host: str, port: int, *, within: float) -> list[str]:
    """Resolve in a thread: a resolver has no time-out of its own, and one that hangs would block the worker."""
    if IPV4.fullmatch(host):
        return [host]
    found: list[str] = []

    def look_up() -> None:
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        found.extend(dict.fromkeys(str(row[4][0]) for row in rows))

    thread = threading.Thread(target=look_up, name="look up a bridge", daemon=True)
    thread.start()
    thread.join(within)
    if found:
        return found
    raise (
        Unresolved("its host name is not resolved in time")
        if thread.is_alive()
        else Unknown("its host name is unknown")
    )
