"""Where a bridge may be: its host is resolved once, and only an address that was checked is connected to."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from accounts.bridges import addresses, client
from accounts.bridges.client import BridgeError
from accounts.models import Bridge
from tests.support.misbehaving import MisbehavingBridge
from tests.support.portal import make_bridge

PRIVATE = ["127.0.0.1", "::1", "10.0.0.5", "172.16.0.1", "192.168.1.1", "fd12::1", "::ffff:10.0.0.5"]
PUBLIC = ["8.8.8.8", "2606:4700::1111"]
NOWHERE = [
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "fe80::1",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd20:ce::254",
    "fd00:42::42",
    "fec0::1",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "ff02::1",
    "240.0.0.1",
    "255.255.255.255",
]


def resolve_to(monkeypatch: pytest.MonkeyPatch, *found: str) -> list[str]:
    """The resolver, answering so; the hosts that it was asked for."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *args: Any, **more: Any) -> list[Any]:
        if host in found:  # an address: the socket itself asks for it
            return real(host, port, *args, **more)
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


class TestPolicy:
    @pytest.mark.parametrize("address", [*PRIVATE, *PUBLIC])
    def test_a_bridge_may_be_near_or_far(self, address: str) -> None:
        assert addresses.is_allowed(address)

    @pytest.mark.parametrize("address", NOWHERE)
    def test_but_not_where_no_bridge_is(self, address: str) -> None:
        assert not addresses.is_allowed(address)

    def test_with_the_setting_only_in_the_named_networks(self, settings: Any) -> None:
        settings.LINKDESK_BRIDGE_NETWORKS = ["10.1.0.0/16", "fd12::/64"]
        allowed = [
            one for one in [*PRIVATE, *PUBLIC, *NOWHERE, "10.1.2.3", "::ffff:10.1.2.3"] if addresses.is_allowed(one)
        ]
        assert allowed == ["fd12::1", "10.1.2.3", "::ffff:10.1.2.3"]


@pytest.mark.django_db
class TestCalls:
    def test_the_name_is_resolved_once_and_kept_for_the_host_header(
        self, node: MisbehavingBridge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = resolve_to(monkeypatch, "127.0.0.1")
        bridge = make_bridge("alpha", url=f"http://bridge.invalid:{node.server_port}")
        client.running_sessions(bridge)
        assert asked == ["bridge.invalid"]
        assert node.hosts == [f"bridge.invalid:{node.server_port}"]

    def test_an_address_that_does_not_answer_is_passed_over(
        self, node: MisbehavingBridge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        resolve_to(monkeypatch, "127.0.0.2", "127.0.0.1")  # only the second one listens
        client.running_sessions(make_bridge("alpha", url=f"http://bridge.invalid:{node.server_port}"))
        assert len(node.seen) == 1

    def test_one_that_is_not_allowed_is_not_tried_beside_one_that_is(
        self, node: MisbehavingBridge, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        settings.LINKDESK_BRIDGE_NETWORKS = ["127.0.0.2/32"]
        resolve_to(monkeypatch, "127.0.0.1", "127.0.0.2")
        bridge = make_bridge("alpha", url=f"http://bridge.invalid:{node.server_port}")
        with pytest.raises(BridgeError, match="cannot be reached"):
            client.running_sessions(bridge)
        assert node.seen == []

    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:{port}",
            "http://2130706433:{port}",  # the same, as a number
            "http://localhost:{port}",
        ],
    )
    def test_outside_the_named_networks_nothing_is_sent(self, node: MisbehavingBridge, settings: Any, url: str) -> None:
        settings.LINKDESK_BRIDGE_NETWORKS = ["10.0.0.0/8"]
        bridge = make_bridge("alpha", url=url.format(port=node.server_port))
        with pytest.raises(BridgeError, match="is not allowed") as refused:
            client.running_sessions(bridge)
        assert refused.value.permanent
        assert node.seen == []

    def test_an_unknown_name_is_tried_again_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*_: Any, **__: Any) -> Any:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        with pytest.raises(BridgeError, match="unknown") as failed:
            client.running_sessions(make_bridge("alpha", url="http://bridge.invalid"))
        assert (failed.value.permanent, failed.value.unclear) == (False, False)

    def test_a_resolver_that_hangs_costs_the_time_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        over = threading.Event()
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30) and [])
        monkeypatch.setattr(client, "LIST_WITHIN", 0.3)
        began = time.monotonic()
        with pytest.raises(BridgeError, match="in time"):
            client.running_sessions(make_bridge("alpha", url="http://bridge.invalid"))
        assert time.monotonic() - began < 3
        over.set()

    def test_the_certificate_is_asked_for_by_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        resolve_to(monkeypatch, "127.0.0.1")
        with tls_that_notes_names() as (port, names), pytest.raises(BridgeError, match="cannot be reached"):
            client.running_sessions(make_bridge("alpha", url=f"https://bridge.invalid:{port}"))
        assert names == ["bridge.invalid"]

    @pytest.mark.parametrize("url", ["http://", "http://[::1", "http://a:b", "ftp://a"])
    def test_a_url_that_is_none(self, url: str, bridge: Bridge) -> None:
        Bridge.objects.update(url=url)
        bridge.refresh_from_db()
        with pytest.raises(BridgeError) as refused:
            client.running_sessions(bridge)
        assert not refused.value.unclear


@contextlib.contextmanager
def tls_that_notes_names() -> Iterator[tuple[int, list[str]]]:
    """A server without a certificate: it reads the client's hello and hangs up."""
    names: list[str] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def note(_: object, name: str, __: object) -> int:
        names.append(str(name))
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context.sni_callback = note
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with server.accept()[0] as line, contextlib.suppress(OSError):
                context.wrap_socket(line, server_side=True)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], names
        thread.join(5)
