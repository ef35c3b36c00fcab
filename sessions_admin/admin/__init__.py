"""The admin, one module for each theme."""

from sessions_admin.admin import accounts, bridges, inbox, people, queue, reports, sessions

__all__ = ["accounts", "bridges", "inbox", "people", "queue", "reports", "sessions"]
