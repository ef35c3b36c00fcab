"""The last line of defence: removes from every log line what no log may show.

Nobody should log a phone number, a QR code or a secret in the first place. But an exception may quote the value that
caused it, a library logs the URL that it called, and the path of a linking page is its secret.
"""

import re

LONGEST = 32_768  # characters of one text; a log line is read by people, and the patterns take time

_NAMES = (
    r"api[_-]?key|secret|passw(?:or)?d|token|authorization|cookie|signature|sessionid"
    r"|qr[_-]?(?:code|text)|pairing[_-]?code"
)
_DOMAINS = r"s\.whatsapp\.net|c\.us|g\.us|lid|broadcast|newsletter|hosted"

# No match may begin inside a word: a pattern that is tried at each letter of a long word takes quadratic time.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # A linking page, also below /ws/.
    (re.compile(r"(/link/)[^/\s'\"?]+"), r"\1..."),
    (re.compile(r"data:image/[\w.+-]+;base64,[A-Za-z0-9+/=_-]*"), "[image]"),
    # JIDs, and message ids, which hold one: true_6281234567890@c.us_3EB0...
    (re.compile(rf"(?<![\w.:+-])[\w.:+-]+(?:@|%40)(?:{_DOMAINS})[\w.:@-]*"), "[jid]"),
    # The text of a QR code: 2@<reference>,<key>,<identity>,<secret>
    (re.compile(r"(?<!\w)\d(?:@|%40)[A-Za-z0-9+/=_-]+(?:(?:,|%2C)[A-Za-z0-9+/=_-]+)+"), "[QR code]"),
    (re.compile(r"(://)[^/\s:@'\"]*:[^/\s@'\"]+@"), r"\1[secret]@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), r"\1 [secret]"),
    (
        re.compile(
            rf"""(?i)(?<![\w-])((?=[\w-]*?(?:{_NAMES}))[\w-]++\\?["']?\s*[=:]\s*\\?["']?)"""
            r"""(?!\[|bearer|basic)[^\s"'&,;)}\]\\]+"""
        ),
        r"\1[secret]",
    ),
    # Our secrets, Fernet tokens, signatures and hashes; and anything that looks like a token_urlsafe().
    (re.compile(r"(?<![\w-])(?:ld_|gAAAAA)[\w-]{16,}=*|(?<!\w)[0-9a-f]{64}(?!\w)"), "[secret]"),
    (re.compile(r"(?<![\w-])(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*\d)[\w-]{32,}=*"), "[secret]"),
)
# A session id keeps its time (webjs_1_1763600000_abcd1234: it stands after "_"). UUIDs, request ids, row numbers
# (#1234567) and fractions are kept too. No letter may stand before a number, unless it ends an escape: "\n6281...".
_NUMBER = re.compile(
    r"(?P<kept>(?<!\w)[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?!\w)"
    r"|(?<!\w)(?!\d{32})[0-9a-f]{32}(?!\w)|#\d+|(?<![\w.])\d+\.\d+(?![\w.]))"
    r"|\+\d[\d ().-]{5,18}\d"
    r"|(?<![\w.-])0\d{2,3}[ .-]\d{3,4}[ .-]\d{3,6}"
    r"|(?:(?<!\w)|(?<=\\[nrtfbv])|(?<=%[0-9A-Fa-f]{2})|(?<=\\x[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4}))\d{7,}"
)


def redact(text: str) -> str:
    """The text with "[number]", "[jid]", "[secret]" and the like in place of anything that no log may show."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}... ({len(text) - LONGEST} more)"
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    return _NUMBER.sub(lambda match: match["kept"] or "[number]", text)
