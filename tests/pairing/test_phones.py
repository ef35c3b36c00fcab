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


@pytest.mark.parametrize(
    ("written", "country", "digits"),
    [
        ("0812 3456 7890", "ID", "6281234567890"),
        ("(0812) 3456-7890", "ID", "6281234567890"),
        ("6281234567890", "ID", "6281234567890"),
        ("+62 (0)812 3456 7890", "ID", "6281234567890"),
        ("0062 812 3456 7890", "ID", "6281234567890"),
        ("\u202a+62 812\u20113456\u20117890\u202c", "ID", "6281234567890"),  # copied from the phone's contacts
        ("٠٨١٢٣٤٥٦٧٨٩٠", "ID", "6281234567890"),
        ("+44 (0)7700 900123", "", "447700900123"),
        ("07700 900123", "GB", "447700900123"),
        ("(85) 98765-0001", "BR", "5585987650001"),
        ("085 98765-0001", "BR", "5585987650001"),
        ("(85) 8765-0001", "BR", "558587650001"),
        ("558587650001", "BR", "558587650001"),
        ("55 1234 5678", "MX", "525512345678"),
        ("011 15 2345-6789", "AR", "5491123456789"),
        ("+54 11 15 2345 6789", "", "5491123456789"),
        ("+54 9 11 15 2345 6789", "", "5491123456789"),
        ("+52 044 55 8765 0004", "", "525587650004"),
        ("+52 01 55 8765 0004", "", "525587650004"),
        ("044 55 8765 0004", "MX", "525587650004"),
        ("01 55 8765 0004", "MX", "525587650004"),
        ("+998 8 90 123 45 67", "", "998901234567"),
        ("06 9512 3456", "IT", "390695123456"),  # this zero belongs to the number
        ("+39 06 9512 3456", "", "390695123456"),
        ("347 123 4567", "IT", "393471234567"),
        ("8 912 345-67-89", "RU", "79123456789"),
        ("(415) 555-2671", "US", "14155552671"),
        ("07 07 12 34 56", "CI", "2250707123456"),
        ("+225 07 12 34 56", "", "22507123456"),
        ("+229 95 12 34 56", "", "22995123456"),
        ("+65 9123 4567", "ID", "6591234567"),  # of another country than the workspace's
    ],
)
def test_a_number_is_read_as_people_write_it(written: str, country: str, digits: str) -> None:
    assert phones.normalise(written, country=country) == digits


@pytest.mark.parametrize(
    ("written", "country", "said"),
    [
        ("0812 3456 7890", "", "with its country code"),
        ("1-800-FLOWERS", "US", "with its country code"),
        ("", "ID", "with its country code"),
        ("+999 123 456 789", "", "with its country code"),
        ("+62 812 345", "", "too short"),
        ("0812 3", "ID", "too short"),
        ("+44 7700 900123 44", "", "too long"),
        ("+62 21", "ID", "too short"),
        ("812 3456 7890", "ID", "This may be +62 812-3456-7890 or +81 234-56-7890"),
    ],
)
def test_what_is_no_number_is_refused_in_words(written: str, country: str, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        phones.normalise(written, country=country)
    assert said in refused.value.messages[0]


@pytest.mark.parametrize(
    ("said", "digits"),
    [
        ("6281167328422", "6281167328422"),
        ("+62 811-6732-8422", "6281167328422"),
        (" 6281167328422 ", "6281167328422"),
        ("006281167328422", "6281167328422"),
        (6281167328422, "6281167328422"),
        ("6281167328422@c.us", "6281167328422"),
        ("6281167328422@s.whatsapp.net", "6281167328422"),
        ("6281167328422:22@s.whatsapp.net", "6281167328422"),
        ("6281167328422.1:22@s.whatsapp.net", "6281167328422"),
        ("6281167328422:22", "6281167328422"),
        ("123456789012345@lid", ""),
        ("120363041234567890@g.us", ""),
        ("120363041234567890@newsletter", ""),
        ("status@broadcast", ""),
        ("unknown", ""),
        ("", ""),
        (None, ""),
        (True, ""),
        (62811.5, ""),
        ({"user": "6281167328422"}, ""),
        (["6281167328422"], ""),
        ("0811 6732 8422", ""),
        ("6281167328422\x00", ""),
        ("9" * 20, ""),
    ],
)
def test_a_bridges_phone_is_read_wherever_it_stands(said: object, digits: str) -> None:
    assert phones.reported(said) == digits


def test_a_number_exists_in_todays_form_or_in_the_one_that_stands_there() -> None:
    assert all(
        map(phones.is_assigned, ["558587650001", "5585987650001", "5215587650004", "22507123456", "62215551234"])
    )
    assert not any(map(phones.is_assigned, ["", "9999999999", "210000000000", "6299999", "11111111111111"]))
