"""The admin, one module for each theme."""

from sessions_admin.admin import (
    accounts,
    audit,
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
    users,
)

__all__ = [
    "accounts",
    "audit",
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
    "users",
]
