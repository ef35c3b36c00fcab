"""Phone numbers: E.164 digits without the plus sign."""

import re

import phonenumbers
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

E164 = re.compile(r"[1-9][0-9]{6,14}")
PUNCTUATION = re.compile(r"[\s().+-]")
SHORTEST_SEARCH = 4  # digits; fewer are more likely part of something else


def normalise(text: str) -> str:
    """'+62 811-1680-1641' -> '6281116801641'. Raises ValidationError when that leaves no E.164 number."""
    digits = PUNCTUATION.sub("", text)
    if not E164.fullmatch(digits):
        raise ValidationError(
            _("Write the number with its country code and digits only, such as 6281234567890."),
            code="invalid_phone",
        )
    return digits


def searched(text: str) -> str:
    """The digits, as they are stored, of "+62 811-1680-1641", "0811 1680 1641" or "1641"; empty if the text is not a
    phone number or a part of one."""
    digits = PUNCTUATION.sub("", text)
    if not re.fullmatch(rf"[0-9]{{{SHORTEST_SEARCH},}}", digits):
        return ""
    return digits.lstrip("0")  # the national trunk zero, or 00 for +


def validate(digits: str) -> None:
    if not E164.fullmatch(digits):
        normalise("")


def mask(digits: str | None) -> str:
    """All but the last four digits hidden, as a public page may show it."""
    return f"••• {digits[-4:]}" if digits else ""


def group(digits: str) -> str:
    """'6281116801641' -> '+62 811-1680-1641': as its country writes it, and always the digits that are stored."""
    try:
        number = phonenumbers.parse(f"+{digits}")
    except phonenumbers.NumberParseException:  # no country begins like this
        return f"+{digits}"
    grouped = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    # The library leaves out a trunk zero ("+62 0811 ..."): a form that is filled in with this must keep the number.
    return grouped if re.sub(r"\D", "", grouped) == digits else f"+{digits}"
