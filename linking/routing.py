"""The addresses of the WebSockets."""

from django.urls import URLPattern, path, re_path

from linking import sockets

# ASGI applications, which the stubs of Django's views do not know.
websocket_urlpatterns: list[URLPattern] = [
    path("ws/link/<str:token>/", sockets.page),  # type: ignore[arg-type]
    re_path("", sockets.nothing),  # type: ignore[arg-type]
]
