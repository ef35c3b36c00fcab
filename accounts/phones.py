"""Phone numbers: read as people write them and as bridges report them, kept as E.164 digits without the plus sign."""

import re
import unicodedata

import phonenumbers
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from phonenumbers import ValidationResult

from accounts.numbering_plans import identity_key

E164 = re.compile(r"[1-9][0-9]{6,14}")
SHORTEST_SEARCH = 4  # digits; fewer are more likely part of something else
COUNTRIES = frozenset(phonenumbers.SUPPORTED_REGIONS)  # ISO 3166 codes of two letters
# Prefixes that people still write and the library knows no more, or not in that place.
_STILL_WRITTEN = (
    (re.compile(r"^\+549(?=[0-9]{12}$)"), "+54"),  # Argentina: the 9 of a number for abroad and the 15 of a local one
    (re.compile(r"^\+520(?:1|4[45])(?=[0-9]{10}$)"), "+52"),  # Mexico, before 2019: 01, 044 and 045
    (re.compile(r"^\+(99[28])8(?=[0-9]{9}$)"), r"+\1"),  # Uzbekistan and Tajikistan: 8
)
# Of people; ids of groups, channels and hidden numbers stand before other names.
_SERVERS = frozenset({"", "c.us", "s.whatsapp.net"})
# Spaces, invisible marks of direction that come with a copied number, dashes, brackets.
_BETWEEN_DIGITS = frozenset({"Zs", "Cf", "Pd", "Ps", "Pe"})


# --- as people write them -------------------------------------------------------------------------
def normalise(text: str, *, country: str = "") -> str:
    """'+62 (0)811-1680-1641' -> '6281116801641'; with `country` "ID" also '0811 1680 1641'.

    A number without a plus sign is read with its country code first. Raises ValidationError, which says what is wrong
    with it.
    """
    written = _compact(text)
    if written.startswith("+"):
        return _possible(written)
    if not country:
        return _possible(f"+{written}" if not written.startswith("0") else "")
    if written.startswith("0"):
        return _possible(written, country)
    return _of_two_readings(f"+{written}", written, country)


def validate(digits: str) -> None:
    """For a field that is not typed by people."""
    if not E164.fullmatch(digits):
        raise _refusal("unreadable")


def example_of(country: str) -> str:
    """A mobile number of the country, as it is written abroad: '+62 812-345-678'."""
    number = phonenumbers.example_number_for_type(country or "ID", phonenumbers.PhoneNumberType.MOBILE)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL) if number else ""


def _compact(text: str) -> str:
    """The digits, after a plus sign where it is one or 00. Raises ValidationError on anything else, such as letters."""
    written = unicodedata.normalize("NFKC", text).strip()
    kept = [
        str(unicodedata.decimal(sign)) if sign.isdecimal() else sign
        for sign in written
        if sign not in "./\t" and unicodedata.category(sign) not in _BETWEEN_DIGITS
    ]
    compact = re.sub(r"^00", "+", "".join(kept))
    if not re.fullmatch(r"\+?[0-9]+", compact):
        raise _refusal("unreadable")
    return compact


def _possible(written: str, country: str | None = None) -> str:
    """The digits of a number that its country's plan has room for, once former forms are written as today's."""
    digits = _parsed(written, country)
    problem = _problem(digits) if digits else "unreadable"
    if problem or not E164.fullmatch(digits):
        raise _refusal(problem or "unreadable")
    return digits


def _of_two_readings(abroad: str, local: str, country: str) -> str:
    """Without a plus sign '4512345678' is a number in Denmark, or a local one in the USA: whichever exists counts."""
    readings = {_parsed(abroad, None), _parsed(local, country)} - {""}
    existing = sorted(digits for digits in readings if is_assigned(digits))
    if len(existing) > 1:
        either = _("This may be %(first)s or %(second)s. Write the one that you mean, with the plus sign.")
        params = {"first": group(existing[0]), "second": group(existing[1])}
        raise ValidationError(either, code="invalid_phone", params=params)
    return _possible(f"+{existing[0]}" if existing else abroad)


def _parsed(written: str, country: str | None) -> str:
    """The E.164 digits without trunk zeros; empty if it is none. Italy's first zero is part of the number and stays."""
    if country == "MX":
        written = re.sub(r"^0", "+520", written)
    for prefix, instead in _STILL_WRITTEN:
        written = prefix.sub(instead, written)
    try:
        number = phonenumbers.parse(written, country)
    except phonenumbers.NumberParseException:
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def _problem(digits: str) -> str:
    """A key of the texts below; empty if the number is possible."""
    number = phonenumbers.parse(f"+{identity_key(digits)}")
    problems = {
        ValidationResult.IS_POSSIBLE: "",
        ValidationResult.TOO_LONG: "too_long",
        ValidationResult.TOO_SHORT: "too_short",
        ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "too_short",  # the area code is missing
    }
    return problems.get(phonenumbers.is_possible_number_with_reason(number), "unreadable")


def _refusal(problem: str) -> ValidationError:
    texts = {
        "unreadable": _("Write the number with its country code and digits only, such as 6281234567890."),
        "too_short": _("The number is too short: digits are missing. Write it as +62 812-3456-7890."),
        "too_long": _(
            "The number is too long: it has more digits than its country gives. Write it as +62 812-3456-7890."
        ),
    }
    return ValidationError(texts[problem], code="invalid_phone")


# --- as bridges report them -----------------------------------------------------------------------
def reported(value: object) -> str:
    """The digits of a phone in what a bridge says: '628…', '+62 8…', '628…@c.us', '628…:22@s.whatsapp.net', or the
    number 628…; empty if there is none, as in the id of a group or a hidden number (@lid)."""
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    user, _at, server = text.partition("@")
    if server not in _SERVERS:
        return ""
    user = re.split(r"[.:_]" if server else ":", user)[0]  # the rest is the agent and the device
    try:
        digits = _compact(user).removeprefix("+")
    except ValidationError:
        return ""
    return digits if E164.fullmatch(digits) else ""


def is_assigned(digits: str) -> bool:
    """Whether some country gives out such numbers, in today's form or in the one that stands there.

    A bridge that could not read the phone may report any digits, and most numbers of 13 to 15 digits are *possible*.
    """
    return any(phonenumbers.is_valid_number(phonenumbers.parse(f"+{form}")) for form in _readable(digits))


def _readable(digits: str) -> set[str]:
    return {form for form in (digits, identity_key(digits)) if _parsed(f"+{form}", None)}


# --- shown and searched ---------------------------------------------------------------------------
def searched(text: str) -> str:
    """The digits, as they are stored, of "+62 811-1680-1641", "0811 1680 1641" or "1641"; empty if the text is not a
    phone number or a part of one."""
    try:
        digits = _compact(text).removeprefix("+")
    except ValidationError:
        return ""
    digits = _parsed(f"+{digits}", None) or digits  # without a trunk zero inside
    return digits.lstrip("0") if len(digits) >= SHORTEST_SEARCH else ""  # the trunk zero of a local spelling


def whole(text: str, *, country: str) -> str:
    """The digits of a whole number as people in that country write it; empty if it is none."""
    try:
        return normalise(text, country=country)
    except ValidationError:
        return ""


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
