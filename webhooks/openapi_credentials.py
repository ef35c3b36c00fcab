"""How a bridge shows who it is, in /api/schema/. The classes are known to drf-spectacular once this is imported."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension

from api.openapi import TokenScheme

_SIGNED = {
    "bridgeSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "X-HMAC-Signature",
        "description": "Version 1: lower-case hex of HMAC-SHA256(secret, X-Timestamp + raw body).",
    },
    "bridgeTimestamp": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Timestamp",
        "description": "Unix seconds, in decimal; at most 300 s off.",
    },
}
_SIGNED_2 = {
    "bridgeSignature2": {
        "type": "apiKey",
        "in": "header",
        "name": "X-HMAC-Signature-V2",
        "description": "Version 2: the same over eight lines: linkdesk-2, method, path with query, X-Timestamp, "
        "X-Event-Id, X-Bridge-Boot, X-Bridge-Sequence, hex SHA-256 of the raw body. Never beside version 1.",
    },
    "bridgeTimestamp": _SIGNED["bridgeTimestamp"],
}
_KEYS = {
    "bridgeKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bridgeBearer": {"type": "http", "scheme": "bearer", "description": "The same key."},
}


class SignatureScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "webhooks.authentication.BridgeSignature"
    name = list(_SIGNED | _SIGNED_2)

    def get_security_definition(self, auto_schema: Any) -> Any:
        return list((_SIGNED | _SIGNED_2).values())

    def get_security_requirement(self, auto_schema: Any) -> Any:
        return [{name: [] for name in version} for version in (_SIGNED, _SIGNED_2)]


class CredentialScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = "webhooks.credentials.BridgeCredential"
    name = list(_KEYS)  # the signature's are known by the class above

    def get_security_definition(self, auto_schema: Any) -> Any:
        return list(_KEYS.values())

    def get_security_requirement(self, auto_schema: Any) -> Any:
        return [{name: []} for name in _KEYS] + [{name: [] for name in version} for version in (_SIGNED, _SIGNED_2)]


class BridgeOrTokenScheme(CredentialScheme):  # type: ignore[no-untyped-call]
    """It defines no scheme of its own: each scheme belongs to the class that it stands for."""

    target_class = "webhooks.credentials.BridgeOrToken"
    name: list[str] = []

    def get_security_definition(self, auto_schema: Any) -> Any:
        return []

    def get_security_requirement(self, auto_schema: Any) -> Any:
        return [*super().get_security_requirement(auto_schema), {TokenScheme.name: []}]
