"""Times as the contract writes them."""

from datetime import UTC, datetime


def iso_now() -> str:
    """Return the time as `2026-11-20T10:55:30.988Z`: with milliseconds and Z, as JavaScript's toISOString."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
