"""The signature of requests to the portal, version 2 (docs/bridge-api.md), and the comparison of secrets."""

import hashlib
import hmac
import time

from yarl import URL

FIRST_LINE = "linkdesk-2"


def signed_headers(
    secret: str, method: str, url: str, *, body: bytes, boot: str, sequence: int, event_id: str = ""
) -> dict[str, str]:
    """Return the headers that make the request pass now; it is signed anew for each try."""
    headers = {"X-Timestamp": str(int(time.time()))}
    headers |= {"X-Event-Id": event_id} if event_id else {}
    headers |= {"X-Bridge-Boot": boot, "X-Bridge-Sequence": str(sequence)}
    return headers | {"X-HMAC-Signature-V2": sign(secret, method, URL(url).raw_path_qs, headers=headers, body=body)}


def sign(secret: str, method: str, path: str, *, headers: dict[str, str], body: bytes) -> str:
    """Lower-case hex HMAC-SHA256 over one part a line; a header that is not sent is an empty line.

    `path` has the query too, as both stand on the request line.
    """
    named = ("X-Timestamp", "X-Event-Id", "X-Bridge-Boot", "X-Bridge-Sequence")
    parts = [FIRST_LINE, method, path, *(headers.get(name, "") for name in named), hashlib.sha256(body).hexdigest()]
    return hmac.new(secret.encode(), "\n".join(parts).encode(), hashlib.sha256).hexdigest()


def same_secret(given: object, *, expected: str) -> bool:
    """Constant-time. Bytes, because compare_digest raises on a str that is not ASCII."""
    if not isinstance(given, str):
        return False
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
