"""What the audit says of what a test has done."""

from typing import Any

from accounts.models import AuditEntry


def entries(**wanted: Any) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(**wanted).order_by("pk"))


def the_entry(**wanted: Any) -> AuditEntry:
    """The only one. It fails where there is none, and where there are several."""
    (found,) = entries(**wanted)
    return found
