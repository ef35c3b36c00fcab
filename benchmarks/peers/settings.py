"""Settings of the peers: the product's database server and options, a kept connection, and as good as no middleware."""

from config.settings import DATABASES as DATABASES
from config.settings import FIELD_ENCRYPTION_KEYS as FIELD_ENCRYPTION_KEYS
from config.settings import SECRET_KEY as SECRET_KEY

DATABASES["default"]["CONN_MAX_AGE"] = None
INSTALLED_APPS = ["rest_framework", "benchmarks.peers"]
MIDDLEWARE = ["django.middleware.common.CommonMiddleware"]  # for the Content-Length, which keeps the connection
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "benchmarks.peers.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "UNAUTHENTICATED_USER": None,
}
