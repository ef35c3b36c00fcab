"""Reads what bridges tell of the codes that a phone scans or types, in an event as in an answer. No ORM here."""

SHORTEST_TYPED, LONGEST_TYPED = 4, 16  # characters of a code that is typed on the phone; WhatsApp's have 8
SHOWN = 60  # seconds, where a bridge does not say
LONGEST_SHOWN = 3_600  # seconds for which a code may be shown
MILLISECONDS_FROM = 10_000  # no code is shown for so many seconds
LONGEST_TOLD = 86_400  # seconds; what is longer is no time for a code


def whole(told: object, *, longest: int) -> str:
    """A code, which means something only whole: cut or mended it would be another one. Raises ValueError."""
    text = text_of(told)
    if len(text) > longest or "\ufffd" in text:
        raise ValueError("It is not whole.")
    return text


def typed(told: object) -> str:
    """A code to type on the phone. Raises ValueError."""
    code = whole(told, longest=LONGEST_TYPED).strip()
    if len(code) < SHORTEST_TYPED:
        raise ValueError("It is too short.")
    return code


def lifetime(told: object) -> int:
    """For how many seconds a code may be shown. Raises ValueError if no such time can be read."""
    seconds = float(text_of(told))
    if seconds >= MILLISECONDS_FROM:
        seconds /= 1000
    if not 1 <= seconds <= LONGEST_TOLD:
        raise ValueError("It is no time for a code.")
    return min(int(seconds), LONGEST_SHOWN)


def text_of(told: object) -> str:
    """A text, or a number as text. Raises ValueError."""
    if isinstance(told, bool) or not isinstance(told, str | int | float):
        raise ValueError("It is no text.")
    return str(told)
