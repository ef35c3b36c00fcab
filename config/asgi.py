"""ASGI entry: HTTP and WebSocket in one process."""

import asyncio
import os
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.utils.module_loading import import_string

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django = get_asgi_application()  # first: it loads the apps, which the door and the routes need
door = import_string("webhooks.door.app.Door")


class Bounded:
    """At most `limit` requests at once: under ASGI each takes a thread and a database connection of its own.

    Daphne has the whole body before it calls us, so a slow sender holds no place.
    """

    def __init__(self, app: Any, limit: int) -> None:
        self.app = app
        self.places = asyncio.Semaphore(limit)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with self.places:
            await self.app(scope, receive, send)


http = door(Bounded(django, settings.LINKDESK_WEB_CONCURRENCY))
application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": AllowedHostsOriginValidator(URLRouter(import_string("linking.routing.websocket_urlpatterns"))),
    }
)
