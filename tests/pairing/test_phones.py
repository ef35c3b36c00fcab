"""Phone numbers as people read them."""

import random

import phonenumbers
import pytest
from django.core.exceptions import ValidationError

from accounts import phones


@pytest.mark.parametrize(
    ("digits", "shown"),
    [
        ("6281116801641", "+62 811-1680-1641"),
        ("628121234567", "+62 812-1234-567"),
        ("62215551234", "+62 21 5551234"),
        ("351912345678", "+351 912 345 678"),
        ("15551234567", "+1 555-123-4567"),
        ("447911123456", "+44 7911 123456"),
        ("390612345678", "+39 06 1234 5678"),  # this zero belongs to the number
    ],
)
def test_a_number_is_grouped_as_its_country_writes_it(digits: str, shown: str) -> None:
    assert phones.group(digits) == shown


@pytest.mark.parametrize("digits", ["6208116801641", "210000000000", "9999999", "62811168016419999999", "unknown"])
def test_what_is_no_number_of_any_country_is_shown_as_it_is(digits: str) -> None:
    assert phones.group(digits) == f"+{digits}"


def test_what_is_shown_can_be_typed_in_again_and_is_the_same_number() -> None:
    seeded = random.Random(351)
    tried = 0
    for code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
        for length in range(7, 16):
            digits = str(code) + "".join(seeded.choices("123456789", k=length - len(str(code))))
            try:
                typed = phones.normalise(digits)
            except ValidationError:
                continue  # no country has room for it
            assert phones.normalise(phones.group(typed)) == typed
            tried += 1
    assert tried > 300
