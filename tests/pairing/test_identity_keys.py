"""One phone has one key, however its number is written; two phones never share one."""

import re

import phonenumbers
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from accounts import numbering_plans, phones
from accounts.numbering_plans import FORMER_FORMS, identity_key

COUNTRIES = sorted(phones.COUNTRIES)
KINDS = sorted(PhoneNumberType.values())
# Example numbers of the library that are one phone by our table, and why.
ONE_PHONE = {
    frozenset(
        {"541123456789", "5491123456789"}
    ): "Argentina gives a number of ten digits out once; abroad a mobile has a 9",
}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("5585987650001", "558587650001"),  # Brazil: with and without the ninth digit
        ("5511961234567", "551161234567"),
        ("5511999998888", "551199998888"),
        ("525587650004", "5215587650004"),  # Mexico: with and without the 1
        ("523312345678", "5213312345678"),
        ("5491123456789", "541123456789"),  # Argentina: with and without the 9
        ("5493815551234", "543815551234"),
        ("2250707123456", "22507123456"),  # Ivory Coast: Orange, MTN, Moov, and the fixed lines of each
        ("2250747123456", "22547123456"),
        ("2250545123456", "22545123456"),
        ("2250101234567", "22501234567"),
        ("2250140123456", "22540123456"),
        ("2252722412345", "22522412345"),
        ("2252520012345", "22520012345"),
        ("2252121812345", "22521812345"),
        ("2290195123456", "22995123456"),  # Benin
        ("24166031234", "24106031234"),  # Gabon
        ("24177123456", "2417123456"),
        ("24111441234", "24101441234"),
        ("6281167328422", "62081167328422"),  # a trunk zero that was typed with the country code
        ("447700900123", "4407700900123"),
        ("5585987650001", "55085987650001"),
        ("5585987650001", "5508587650001"),
    ],
)
def test_two_forms_of_one_number_have_one_key(one: str, other: str) -> None:
    assert identity_key(one) == identity_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("558532345678", "5585932345678"),  # a fixed line of Brazil never gains a 9
        ("5585987650001", "5584987650001"),
        ("5585987650001", "5585987650002"),
        ("5585987650001", "5585887650001"),  # another digit where the 9 stands
        ("525587650004", "5225587650004"),
        ("5215587650004", "15587650004"),
        ("2250707123456", "2250507123456"),  # another operator
        ("2250507123456", "22507123456"),
        ("2290195123456", "2290295123456"),
        ("6281167328422", "628167328422"),  # Indonesia: no rule of ours
        ("390612345678", "39612345678"),  # in Italy the zero is part of the number
        ("2420612345678", "242612345678"),
        ("4915112345678", "491512345678"),
    ],
)
def test_numbers_that_no_rule_makes_one_are_two_phones(one: str, other: str) -> None:
    assert identity_key(one) != identity_key(other)


def test_where_a_trunk_zero_goes_no_number_begins_with_one() -> None:
    for code in numbering_plans.TRUNK_ZERO.split():
        for country in phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(code)]:
            metadata = phonenumbers.PhoneMetadata.metadata_for_region(country)
            assert metadata is not None
            assert metadata.national_prefix == "0", country
    assert not [
        digits for digits in examples() if re.match(rf"({numbering_plans.TRUNK_ZERO.replace(' ', '|')})0[1-9]", digits)
    ]


def examples() -> dict[str, str]:
    """The library's example numbers, and where each is from."""
    found = {}
    for country in COUNTRIES:
        for kind in KINDS:
            number = phonenumbers.example_number_for_type(country, kind)
            if number is not None:
                found[phonenumbers.format_number(number, PhoneNumberFormat.E164)[1:]] = f"{country}, kind {kind}"
    return found


def test_two_example_numbers_share_a_key_only_for_a_reason() -> None:
    by_key: dict[str, set[str]] = {}
    for digits in examples():
        by_key.setdefault(identity_key(digits), set()).add(digits)
    shared = {frozenset(group) for group in by_key.values() if len(group) > 1}
    assert shared == set(ONE_PHONE)


def test_the_key_of_an_example_number_is_a_number_of_the_same_country() -> None:
    for digits in examples():
        before, after = (phonenumbers.parse(f"+{form}") for form in (digits, identity_key(digits)))
        assert before.country_code == after.country_code


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, str]:
    """A country, and an example number of it whose last four digits are any."""
    country = draw(st.sampled_from(COUNTRIES))
    kind = draw(st.sampled_from([PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE]))
    number = phonenumbers.example_number_for_type(country, kind)
    assume(number is not None)
    assert number is not None
    digits = phonenumbers.format_number(number, PhoneNumberFormat.E164)[1:]
    end = draw(st.text("0123456789", min_size=4, max_size=4))
    changed = digits[:-4] + end
    assume(phones.is_assigned(changed))
    return country, changed


def spellings(country: str, digits: str) -> set[str]:
    number = phonenumbers.parse(f"+{digits}")
    abroad = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL)
    local = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
    code, _space, rest = abroad.partition(" ")
    written = {f"+{digits}", f"00{digits}", abroad, abroad.replace(" ", "").replace("-", " "), f"{code} ({rest})"}
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(country)
    prefix = metadata.national_prefix if metadata else None
    if prefix == "0" and local.startswith("0"):
        written |= {local, f"{code} (0){rest}"}
    return written


@settings(max_examples=400, deadline=None)
@given(numbers())
def test_every_spelling_of_a_number_has_its_key(drawn: tuple[str, str]) -> None:
    country, digits = drawn
    key = identity_key(digits)
    for written in spellings(country, digits):
        assert identity_key(phones.normalise(written, country=country)) == key, written
    for said in (digits, f"+{digits}", f"{digits}@c.us", f"{digits}:22@s.whatsapp.net", f"{digits}.0:3@s.whatsapp.net"):
        assert identity_key(phones.reported(said)) == key, said
    assert phones.reported(int(digits)) == digits


@settings(max_examples=400, deadline=None)
@given(st.from_regex(r"[1-9][0-9]{6,14}", fullmatch=True))
def test_the_key_of_a_key_is_itself(digits: str) -> None:
    assert identity_key(identity_key(digits)) == identity_key(digits)


@settings(max_examples=400, deadline=None)
@given(numbers(), st.data())
def test_another_digit_makes_another_key(drawn: tuple[str, str], data: st.DataObject) -> None:
    """But where a rule takes the digit, which it names."""
    _country, digits = drawn
    place = data.draw(st.integers(0, len(digits) - 1))
    other = data.draw(st.sampled_from([digit for digit in "0123456789" if digit != digits[place]]))
    changed = digits[:place] + other + digits[place + 1 :]
    assume(changed[0] != "0")
    assume(not any(former.pattern.fullmatch(form) for former in FORMER_FORMS for form in (digits, changed)))
    assert identity_key(changed) != identity_key(digits)
