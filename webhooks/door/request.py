"""A request as the server gives it, with as much of Django's manner as authentication reads."""

from typing import Any


class AmbiguousHeaders(ValueError):
    """Two headers of one name, or names that Django takes for one."""


class Headers(dict[str, str]):
    """By names in any case."""

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)


class DoorRequest:
    """Raises AmbiguousHeaders."""

    def __init__(self, scope: dict[str, Any], body: bytes) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.body = body
        self.headers = Headers(
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]
        )
        self.META = {
            "REMOTE_ADDR": (scope.get("client") or [""])[0],
            "QUERY_STRING": scope.get("query_string", b"").decode("latin-1"),
        }
        if len(self.headers) != len(scope["headers"]) or any("_" in name for name in self.headers):
            raise AmbiguousHeaders
