"""The content security policy of every page."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

STRICT = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
# Unfold's Alpine evaluates expressions and sets inline styles; only staff ever load these pages. Its scripts are files,
# so an inline script that somebody smuggles into a page does not run.
ADMIN = STRICT + "; img-src 'self' data:; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'"
# Swagger UI's style sheet has its arrows and locks as data: images. Its scripts and styles are files of ours.
DOCS = STRICT + "; img-src 'self' data:"
POLICIES = {"/admin/": ADMIN, "/api/docs/": DOCS}


class ContentSecurityPolicyMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        policy = next((policy for path, policy in POLICIES.items() if request.path.startswith(path)), STRICT)
        response.headers.setdefault("Content-Security-Policy", policy)
        return response
