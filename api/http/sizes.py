"""The size of a body is limited before anything reads it."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse

from api.http.errors import envelope

KIB, MIB = 1024, 1024 * 1024
LARGEST = {
    "/api/whatsapp/webhooks/webjs": 32 * MIB,  # a 16 MB file is a 21 MB webhook
    "/api/whatsapp/webhooks/batch": 32 * MIB,
    "/api/whatsapp/chats/sync": 8 * MIB,
    "/api/whatsapp/bridges/heartbeat": MIB,  # 5,000 sessions, with ids as long as they get in practice
}
ELSEWHERE = 256 * KIB


class BodySizeMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path.startswith("/api/"):
            return self.get_response(request)
        largest = LARGEST.get(request.path, ELSEWHERE)
        if _length(request) > largest:
            text = f"The body is larger than {_in_words(largest)}."
            return JsonResponse(envelope("BODY_TOO_LARGE", text), status=413)
        return self.get_response(request)


def _length(request: HttpRequest) -> int:
    """Return the declared length; a chunked body has none, but under ASGI it is complete before we are called."""
    declared = request.META.get("CONTENT_LENGTH") or ""
    if declared.isascii() and declared.isdigit():
        return int(declared[:19])  # still far too large, and int() refuses thousands of digits
    chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    return len(request.body) if chunked else 0


def _in_words(size: int) -> str:
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"
