"""The webhook signature (contract 1.1)."""

import hashlib
import hmac


def sign(secret: str, timestamp: str, *, body: bytes) -> str:
    """Lower-case hex HMAC-SHA256 over timestamp + raw body."""
    return hmac.new(secret.encode(), timestamp.encode() + body, hashlib.sha256).hexdigest()


def same_secret(given: object, *, expected: str) -> bool:
    """Constant-time. Bytes, because compare_digest raises on a str that is not ASCII."""
    if not isinstance(given, str):
        return False
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
