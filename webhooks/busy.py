"""What to tell a bridge while it is us who cannot work."""

from rest_framework.request import Request

from api.errors import ApiError


def busy(request: Request) -> ApiError:
    """429 is the only answer that a bridge without event ids tries again; one with them knows a 503."""
    status = 503 if request.headers.get("X-Event-Id") else 429
    return ApiError(status, "BUSY", "We cannot take this right now. Send it again.", retry_after=2)
