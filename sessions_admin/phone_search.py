"""What people type when they look for a phone number: "+62 811-1680-1641", "0811 1680 1641", "1641"."""

import re

SHORTEST = 4  # below that the digits are more likely part of something else


def digits_of(text: str) -> str:
    """The digits as they are stored, or empty when `text` is no (part of a) phone number."""
    digits = re.sub(r"[\s().+-]", "", text)
    if not re.fullmatch(rf"[0-9]{{{SHORTEST},}}", digits):
        return ""
    return digits.lstrip("0")  # the national trunk zero, or 00 for +
