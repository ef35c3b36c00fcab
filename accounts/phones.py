"""Phone numbers: E.164 digits without the plus sign."""

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

E164 = re.compile(r"[1-9][0-9]{6,14}")


def normalise(text: str) -> str:
    """'+62 811-1680-1641' -> '6281116801641'. Raises ValidationError when that leaves no E.164 number."""
    digits = re.sub(r"[\s().+-]", "", text)
    if not E164.fullmatch(digits):
        raise ValidationError(
            _("Write the number with its country code and digits only, such as 6281234567890."),
            code="invalid_phone",
        )
    return digits


def validate(digits: str) -> None:
    if not E164.fullmatch(digits):
        normalise("")


def mask(digits: str | None) -> str:
    """All but the last four digits hidden, as a public page may show it."""
    return f"••• {digits[-4:]}" if digits else ""


def group(digits: str) -> str:
    """'6281116801641' -> '+62 811-1680-1641': readable, and the same grouping everywhere."""
    country, rest = (digits[:1], digits[1:]) if digits[0] in "17" else (digits[:2], digits[2:])
    parts = [rest[:3], *(rest[i : i + 4] for i in range(3, len(rest), 4))]
    return f"+{country} " + "-".join(parts)
