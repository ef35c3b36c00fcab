"""The admin, one module for each theme."""

from sessions_admin.admin import (
    accounts,
    bridges,
    fleet,
    inbox,
    jobs,
    notices,
    people,
    queue,
    reports,
    sessions,
    strays,
)

__all__ = [
    "accounts",
    "bridges",
    "fleet",
    "inbox",
    "jobs",
    "notices",
    "people",
    "queue",
    "reports",
    "sessions",
    "strays",
]
