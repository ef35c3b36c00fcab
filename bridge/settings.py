"""Settings come from the environment, and command line flags override it. They are checked once, at start."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bridge.errors import ConfigurationError

# A larger value was surely meant as milliseconds: the bridge of the contract reads WEBHOOK_TIMEOUT so.
LONGEST_WEBHOOK_TIMEOUT = 600

DEFAULTS = {
    "BRIDGE_HOST": "127.0.0.1",
    "BRIDGE_PORT": "3001",
    "BRIDGE_DATA_DIR": "var/bridge",
    "BRIDGE_ENGINE": "simulated",
    "BRIDGE_CAPACITY": "100",
    "WEBHOOK_TIMEOUT": "30",
    "HEARTBEAT_EVERY": "30",
    "DRAIN_WITHIN": "8",
}
IN_SECONDS = frozenset({"WEBHOOK_TIMEOUT", "HEARTBEAT_EVERY", "DRAIN_WITHIN"})
REQUIRED = {
    "LINKDESK_URL": "the portal's base address, for example http://127.0.0.1:8000",
    "HMAC_SECRET": "what webhooks are signed with; `manage.py create_bridge` prints it",
    "API_KEY": "what the portal shows to this bridge and the bridge to the portal; printed with the secret",
}


@dataclass(frozen=True)
class Settings:
    linkdesk_url: str
    hmac_secret: str = field(repr=False)
    api_key: str = field(repr=False)
    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 3001
    engine: str = "simulated"
    capacity: int = 100
    webhook_timeout: float = 30.0
    heartbeat_every: float = 30.0  # seconds; 0: none
    drain_within: float = 8.0  # supervisor kills 10 s after the SIGTERM
    # The first wait after a failed try, for webhooks and for the portal's list alike. Tests shorten it.
    retry_base: float = 1.0
    # Engines read their own knobs from `environ`.
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)


def read_settings(environ: Mapping[str, str], *, flags: Mapping[str, str]) -> Settings:
    """Raises ConfigurationError with every missing name at once."""
    # An empty variable counts as unset: compose files and .env templates leave them so.
    values = DEFAULTS | {k: v for k, v in environ.items() if v} | dict(flags)
    missing = [f"  {name}: {meaning}" for name, meaning in REQUIRED.items() if not values.get(name)]
    if missing:
        raise ConfigurationError("missing settings:\n" + "\n".join(missing))
    return Settings(
        linkdesk_url=_url(values["LINKDESK_URL"]),
        hmac_secret=values["HMAC_SECRET"],
        api_key=values["API_KEY"],
        data_dir=data_dir(environ, flags=flags),
        host=values["BRIDGE_HOST"],
        port=_number(values, "BRIDGE_PORT", lowest=0, highest=65535),
        engine=values["BRIDGE_ENGINE"],
        capacity=_number(values, "BRIDGE_CAPACITY", lowest=1, highest=100_000),
        webhook_timeout=_number(values, "WEBHOOK_TIMEOUT", lowest=1, highest=LONGEST_WEBHOOK_TIMEOUT),
        heartbeat_every=_number(values, "HEARTBEAT_EVERY", lowest=0, highest=3600),
        drain_within=_number(values, "DRAIN_WITHIN", lowest=0, highest=600),
        environ=environ,
    )


def data_dir(environ: Mapping[str, str], *, flags: Mapping[str, str]) -> Path:
    """Read only this setting, as `engine_name` does: the outbox and session commands need no secrets."""
    return Path(flags.get("BRIDGE_DATA_DIR") or environ.get("BRIDGE_DATA_DIR") or DEFAULTS["BRIDGE_DATA_DIR"])


def engine_name(environ: Mapping[str, str], *, flags: Mapping[str, str]) -> str:
    return flags.get("BRIDGE_ENGINE") or environ.get("BRIDGE_ENGINE") or DEFAULTS["BRIDGE_ENGINE"]


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ConfigurationError("LINKDESK_URL must look like http://127.0.0.1:8000")
    return value.rstrip("/")


def _number(values: Mapping[str, str], name: str, *, lowest: int, highest: int) -> int:
    try:
        number = int(values[name])
    except ValueError:
        raise ConfigurationError(f"{name} must be a whole number") from None
    if not lowest <= number <= highest:
        unit = " seconds" if name in IN_SECONDS else ""
        raise ConfigurationError(f"{name} must be between {lowest} and {highest}{unit}")
    return number
