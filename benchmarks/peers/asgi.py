"""Each request under ASGI is a thread of its own: kept connections would only use up the server's."""

from django.conf import settings
from django.core.asgi import get_asgi_application

settings.DATABASES["default"]["CONN_MAX_AGE"] = 0

application = get_asgi_application()
