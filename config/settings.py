"""Every setting of Linkdesk, from the environment (a .env file is read when present)."""

import logging
from ipaddress import ip_network
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

from config.embedded import load_secrets
from config.environment import Environment
from config.look import UNFOLD as UNFOLD  # a setting, as are the others that are imported by their own names
from config.schema import SPECTACULAR_SETTINGS as SPECTACULAR_SETTINGS
from config.staff import AUTH_PASSWORD_VALIDATORS as AUTH_PASSWORD_VALIDATORS
from config.staff import OTP_STATIC_THROTTLE_FACTOR as OTP_STATIC_THROTTLE_FACTOR
from config.staff import OTP_TOTP_ISSUER as OTP_TOTP_ISSUER
from config.staff import OTP_TOTP_THROTTLE_FACTOR as OTP_TOTP_THROTTLE_FACTOR
from config.staff import SESSION_COOKIE_AGE as SESSION_COOKIE_AGE

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment()


def networks(name: str) -> list[str]:
    """Read networks or addresses separated by commas. A bad one stops the start: without it nobody would be trusted."""
    try:
        return [str(ip_network(each.strip(), strict=False)) for each in env.list(name, default=[])]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}. Write it as 10.0.0.0/8 or 10.0.0.5.") from error


if (BASE_DIR / ".env").exists():  # a missing file would be logged before the log has its format
    env.read_env(BASE_DIR / ".env")

# --- where we run ---------------------------------------------------------------------------------
DATA_DIR = Path(env("LINKDESK_DATA_DIR", default=BASE_DIR / "var")).resolve()
DATABASE_URL = env("DATABASE_URL", default="")
REDIS_URL = env("REDIS_URL", default="")
EMBEDDED = not DATABASE_URL  # one machine, no services
DATA_DIR.mkdir(parents=True, exist_ok=True)
load_secrets(DATA_DIR / "secrets.env", may_create=EMBEDDED)

SECRET_KEY = env("SECRET_KEY")
# The newest key is first: the first one encrypts, all of them decrypt.
FIELD_ENCRYPTION_KEYS = env.list("FIELD_ENCRYPTION_KEYS")
DEBUG = env.bool("DEBUG", default=False)
ENVIRONMENT = env("LINKDESK_ENVIRONMENT", default="local" if EMBEDDED else "production")

# --- addresses ------------------------------------------------------------------------------------
PUBLIC_URL = env("PUBLIC_URL", default=f"http://localhost:{env.int('PORT', default=8000)}").rstrip("/")
_public = urlsplit(PUBLIC_URL)
if _public.scheme not in {"http", "https"} or not _public.hostname:
    raise ImproperlyConfigured(f"PUBLIC_URL must be as https://desk.example, not {PUBLIC_URL!r}.")
# The loopback names too: bridges and health checks on the same machine use them.
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=[str(_public.hostname), "localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[f"{_public.scheme}://{_public.netloc}"])
SECURE = _public.scheme == "https"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if SECURE else None
SECURE_SSL_REDIRECT = False  # nginx does it: a redirect here would lose a bridge's webhook
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SILENCED_SYSTEM_CHECKS = [
    "security.W008",  # SECURE_SSL_REDIRECT: see above
    "models.W037",  # an index of django-q2's own
]

# --- the project ----------------------------------------------------------------------------------
INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "accounts",  # before Django's own: its `createsuperuser` and `changepassword` are noted in the audit
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "django_q",
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    "api",
    "webhooks",
    "linking",
    "sessions_admin",
]
MIDDLEWARE = [
    "api.http.request_id.RequestIdMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "config.headers.ContentSecurityPolicyMiddleware",
    "api.http.sizes.BodySizeMiddleware",  # before anything that could read the body
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "sessions_admin.login.counting.OnlyGoodSessions",  # before anything that asks who it is
    "sessions_admin.time_zones.StaffTimeZone",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = False  # a redirect turns a bridge's POST into a GET and loses the event
AUTH_USER_MODEL = "accounts.User"
LOGIN_REDIRECT_URL = "admin:index"  # of a login page that was opened by itself
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- languages and time ---------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("id", _("Indonesian"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
USE_TZ = True
TIME_ZONE = "UTC"

# --- database -------------------------------------------------------------------------------------
SQLITE_OPTIONS = {
    "timeout": 20,  # seconds; waiting writers have no order. A webhook waits less (accounts/db/transactions.py)
    "transaction_mode": "IMMEDIATE",  # a deferred one fails at its first write instead of waiting
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;",  # FULL: an acknowledged event survives
}
MYSQL_OPTIONS = {
    "charset": "utf8mb4",
    "isolation_level": "read committed",
    # Seconds; the defaults (50 for a lock, no limit for the connection) are longer than any bridge waits.
    "connect_timeout": 3,
    "read_timeout": 30,
    "write_timeout": 30,
    "init_command": "SET SESSION innodb_lock_wait_timeout=3, sql_mode='STRICT_TRANS_TABLES'",
}
_database = env.db_url_config(DATABASE_URL or f"sqlite:///{DATA_DIR / 'linkdesk.sqlite3'}")
if not _database.get("ENGINE"):  # the address holds a password: it is not repeated
    raise ImproperlyConfigured("DATABASE_URL must be as mysql://user:password@host:3306/linkdesk.")
_sqlite = _database["ENGINE"].endswith("sqlite3")
_database["OPTIONS"] = (SQLITE_OPTIONS if _sqlite else MYSQL_OPTIONS) | _database.get("OPTIONS", {})
if _sqlite:  # a file, not memory: the tests start real servers that open it too
    _database["TEST"] = {"NAME": DATA_DIR / "test.sqlite3"}
DATABASES = {"default": _database}

# --- cache, sockets, queue ------------------------------------------------------------------------
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},  # as the sockets' layer below
    }
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        # The timeout is one second: a hung Redis must not hold up the process that publishes.
        "CONFIG": {"hosts": [{"address": REDIS_URL, "socket_timeout": 1, "socket_connect_timeout": 1}]},
    }
    if REDIS_URL
    else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
}
Q_CLUSTER = {
    "name": "default",
    "ALT_CLUSTERS": {},  # without it a cluster of another lane does not start
    "orm": "default",  # the queue takes part in our transactions: a rollback leaves no task
    "workers": env.int("LINKDESK_WORKERS", default=4),  # a bridge that hangs may hold two
    "poll": 0.2,
    "timeout": 45,
    "retry": 120,  # above timeout plus the time in the in-memory queue
    "queue_limit": 20,
    "bulk": 5,
    "ack_failures": True,  # our own rows count the tries; q2's own count misses crashes
    "max_attempts": 1,
    "save_limit": -1,  # keeping each result locks all of them
    "catch_up": False,
    "label": "Queue",
}
# Each lane has a worker of its own, or one worker serves all: "separate" with one worker would leave orders undone.
LANES_ARE = env("LINKDESK_LANES", default="one")
if LANES_ARE not in {"one", "separate"}:
    raise ImproperlyConfigured(f"LINKDESK_LANES must be one or separate, not {LANES_ARE!r}.")
LINKDESK_LANES = {
    lane: env(f"LINKDESK_LANE_{lane.upper()}", default=lane if LANES_ARE == "separate" else "default")
    for lane in ("orders", "default", "low")
}

# --- files ----------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"
STATIC_ROOT.mkdir(exist_ok=True)  # empty without collectstatic; whitenoise complains when it is not there
WHITENOISE_USE_FINDERS = True  # works without collectstatic
MEDIA_ROOT = DATA_DIR / "media"  # never served: chat media is for staff
DATA_UPLOAD_MAX_MEMORY_SIZE = 32 * 1024 * 1024  # a 16 MB file is a 21 MB webhook

# --- API ------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "api.http.negotiation.OneForm",
    "DEFAULT_METADATA_CLASS": None,  # OPTIONS is a 405: /api/schema/ says it all
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "api.http.errors.handle",
    "UNAUTHENTICATED_USER": None,
}

# --- Linkdesk: limits and timings -----------------------------------------------------------------
LINKDESK_WEB_CONCURRENCY = env.int("LINKDESK_WEB_CONCURRENCY", default=16)  # requests, each with its connection
LINKDESK_COUNTRY = env("LINKDESK_COUNTRY", default="").upper()  # of new workspaces: ISO 3166, two letters
LINKDESK_MAX_OPEN_PLACEHOLDERS = env.int("LINKDESK_MAX_OPEN_PLACEHOLDERS", default=10)
LINKDESK_LIMIT_MESSAGES = env.int("LINKDESK_LIMIT_MESSAGES", default=6000)  # a minute, per open session
LINKDESK_LIMIT_LIFECYCLE = env.int("LINKDESK_LIMIT_LIFECYCLE", default=300)  # a minute and workspace, at least
LINKDESK_LIMIT_QR = env.int("LINKDESK_LIMIT_QR", default=20)  # a minute and session
LINKDESK_LIMIT_OTHERS = env.int("LINKDESK_LIMIT_OTHERS", default=300)  # a minute, per workspace and per bridge
LINKDESK_LIMIT_STRANGERS = env.int("LINKDESK_LIMIT_STRANGERS", default=60)  # failed requests a minute and address
LINKDESK_LIMIT_LOGINS = env.int("LINKDESK_LIMIT_LOGINS", default=10)  # a minute, for a name from one network
LINKDESK_LIMIT_LOGINS_HOUR = env.int("LINKDESK_LIMIT_LOGINS_HOUR", default=100)  # an hour, for a name
LINKDESK_LIMIT_LOGINS_NETWORK = env.int("LINKDESK_LIMIT_LOGINS_NETWORK", default=60)  # a minute, from one network
LINKDESK_TRUSTED_NETWORKS = networks("LINKDESK_TRUSTED_NETWORKS")  # failures from these are not counted
LINKDESK_TRUSTED_PROXIES = networks("LINKDESK_TRUSTED_PROXIES")  # the X-Forwarded-For of these is believed
# Networks in which bridges may be. Without them accounts/bridges/addresses.py decides.
LINKDESK_BRIDGE_NETWORKS = networks("LINKDESK_BRIDGE_NETWORKS")
LINKDESK_RECONCILE: str = env("LINKDESK_RECONCILE", default="act")
if LINKDESK_RECONCILE not in {"act", "observe"}:
    raise ImproperlyConfigured(f"LINKDESK_RECONCILE must be act or observe, not {LINKDESK_RECONCILE!r}.")
LINKDESK_INVITATION_DAYS = env.int("LINKDESK_INVITATION_DAYS", default=7)

# --- Linkdesk: how long things are kept (days; 0: for ever) ----------------------------------------
LINKDESK_KEEP_EVENTS_DAYS = env.int("LINKDESK_KEEP_EVENTS_DAYS", default=30)  # applied and ignored
LINKDESK_KEEP_DEAD_DAYS = env.int("LINKDESK_KEEP_DEAD_DAYS", default=180)
LINKDESK_KEEP_UNMATCHED_DAYS = env.int("LINKDESK_KEEP_UNMATCHED_DAYS", default=90)  # after the last of a kind
LINKDESK_KEEP_MESSAGES_DAYS = env.int("LINKDESK_KEEP_MESSAGES_DAYS", default=365)  # with their media
LINKDESK_KEEP_ORDERS_DAYS = env.int("LINKDESK_KEEP_ORDERS_DAYS", default=90)  # closed ones
LINKDESK_KEEP_RUNS_DAYS = env.int("LINKDESK_KEEP_RUNS_DAYS", default=14)  # summaries of reconciles
LINKDESK_KEEP_INCIDENTS_DAYS = env.int("LINKDESK_KEEP_INCIDENTS_DAYS", default=90)  # closed ones
LINKDESK_KEEP_FAILURES_DAYS = env.int("LINKDESK_KEEP_FAILURES_DAYS", default=30)  # the queue's own

# --- logging --------------------------------------------------------------------------------------
LOG_FORMATS = {"json": "accounts.logs.format.JsonLines", "plain": "accounts.logs.format.PlainLines"}
LOG_FORMAT = env("LINKDESK_LOG_FORMAT", default="plain" if EMBEDDED or DEBUG else "json")
if LOG_FORMAT not in LOG_FORMATS:
    raise ImproperlyConfigured(f"LINKDESK_LOG_FORMAT must be one of {', '.join(LOG_FORMATS)}, not {LOG_FORMAT!r}.")
LOG_LEVEL = env("LINKDESK_LOG_LEVEL", default="INFO").upper()
if LOG_LEVEL not in logging.getLevelNamesMapping():
    raise ImproperlyConfigured(f"LINKDESK_LOG_LEVEL must be one of DEBUG, INFO, WARNING, ERROR, not {LOG_LEVEL!r}.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": LOG_FORMATS[LOG_FORMAT]}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # Django's own handlers would write past our formatter, or mail the whole request.
        "django": {"level": "INFO", "handlers": []},
        "django.server": {"level": "INFO", "handlers": [], "propagate": True},
        "django-q": {"level": "WARNING"},  # a line for each task otherwise
        # Both write the query string or the path of a linking page, which is its secret.
        "django.channels.server": {"level": "ERROR"},
    },
}

# --- admin ----------------------------------------------------------------------------------------
FORMAT_MODULE_PATH = "sessions_admin.formats"
