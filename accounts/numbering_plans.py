"""One key for one phone: its number as its country writes it today.

A country changes its numbering plan, and WhatsApp keeps the ids that it gave out before: a person types one form of a
number and a bridge reports another. This table brings both to one form, the identity key. It holds what is known to
differ between what people type and what WhatsApp reports, and nothing else, so that two phones never get one key. It
is ours, so no other version of a library changes a key; after a change of the table `manage.py phone_keys` computes
the stored keys anew.
"""

import re
from typing import NamedTuple


class FormerForm(NamedTuple):
    """Digits that match `pattern` as a whole are written as `today`."""

    pattern: re.Pattern[str]
    today: str


# Country codes where people dial a 0 before a number, and no number begins with one. It is left over in numbers that
# were typed as at home, with the country code in front: 62 0812 3456 7890.
TRUNK_ZERO = (
    "20 27 31 32 33 40 41 43 44 46 49 51 53 54 55 57 58 60 61 62 63 64 66 81 82 84 86 90 91 92 93 94 95 98 211 "
    "212 213 218 231 232 233 234 243 249 251 252 254 255 256 260 261 262 263 264 265 291 353 355 358 359 370 "
    "373 374 377 380 381 382 383 385 386 387 389 421 423 508 590 591 593 594 595 596 598 686 850 855 856 880 "
    "886 961 962 963 964 966 967 970 971 972 976 977 994 995 996"
)

# Each is applied in turn, so that the second one meets a number without a trunk zero.
FORMER_FORMS = (
    FormerForm(re.compile(rf"({TRUNK_ZERO.replace(' ', '|')})0([1-9]\d+)"), r"\1\2"),
    # Brazil, 2012 to 2016: mobile numbers, whose eight digits begin with 6 to 9, got a 9 in front. Fixed lines did not.
    FormerForm(re.compile(r"55([1-9][1-9])([6-9]\d{7})"), r"55\g<1>9\2"),
    # Mexico, 2019: the 1 that stood between the country code and a mobile number is gone.
    FormerForm(re.compile(r"521(\d{10})"), r"52\1"),
    # Argentina: abroad a mobile number has a 9 after the country code, which many people leave out. A number of ten
    # digits is given out once, so no fixed line has the same without the 9.
    FormerForm(re.compile(r"549?([1-3]\d{9})"), r"549\1"),
    # Ivory Coast, 31 January 2021: eight digits became ten, by the operator, whom the second digit of a mobile number
    # told (Moov, MTN, Orange), and the third one of a fixed line.
    FormerForm(re.compile(r"225([04-8][0-3]\d{6})"), r"22501\1"),
    FormerForm(re.compile(r"225([04-8][4-6]\d{6})"), r"22505\1"),
    FormerForm(re.compile(r"225([04-8][7-9]\d{6})"), r"22507\1"),
    FormerForm(re.compile(r"225([23]\d8\d{5})"), r"22521\1"),
    FormerForm(re.compile(r"225([23]\d0\d{5})"), r"22525\1"),
    FormerForm(re.compile(r"225([23]\d[1-79]\d{5})"), r"22527\1"),
    # Gabon, 2019: seven digits became eight, by the operator. Before that many wrote the zero that was dialled at home.
    FormerForm(re.compile(r"2410?1(\d{6})"), r"24111\1"),
    FormerForm(re.compile(r"2410?([256])(\d{6})"), r"2416\1\2"),
    FormerForm(re.compile(r"2410?([47])(\d{6})"), r"2417\1\2"),
    # Benin, 30 November 2024: eight digits became ten.
    FormerForm(re.compile(r"229(\d{8})"), r"22901\1"),
)


def identity_key(digits: str) -> str:
    """'558587650001' and '5585987650001' -> '5585987650001'. `digits`: E.164 without the plus sign. The key of a key is
    itself."""
    for former in FORMER_FORMS:
        if matched := former.pattern.fullmatch(digits):
            digits = matched.expand(former.today)
    return digits
