"""QR codes: drawn once when they arrive, always dark on a white border so that every camera reads them."""

import base64
import io
from dataclasses import dataclass

import segno

MAX_TEXT = 2_000  # WhatsApp's are about 300 characters; a QR code holds 2,953 bytes
MAX_PNG = 64 * 1024  # the Node bridge's are about 6 kB
# Every reader knows all eight masks. Drawing each, to find the one with the fewest patterns that may confuse a reader,
# takes four times as long; the text of a pairing is random, and so looks the same under any of them.
MASK = 0
PNG = b"\x89PNG\r\n\x1a\n"
DATA_URL = "data:image/png;base64,"


class BadQr(ValueError):
    """Neither a code that can be drawn nor a PNG data URL."""


@dataclass(frozen=True)
class Qr:
    """A QR code as SVG or as PNG: exactly one of the two is set."""

    svg: str = ""
    png: bytes | None = None


def from_text(text: str) -> Qr:
    """Draw the code as SVG. Raises BadQr."""
    if not 0 < len(text) <= MAX_TEXT:
        raise BadQr("the QR text is empty or too long")
    try:
        code = segno.make(text, error="l", micro=False, boost_error=False, mask=MASK)
    except segno.DataOverflowError as error:
        raise BadQr("the QR text does not fit into a QR code") from error
    out = io.BytesIO()
    # `omitsize` leaves the size to the page's style sheet; no inline style, for the strict CSP.
    code.save(out, kind="svg", border=4, dark="#000", light="#fff", omitsize=True, xmldecl=False, svgns=True)
    return Qr(svg=out.getvalue().decode())


def from_data_url(url: str) -> Qr:
    """The PNG in it, validated, because it is served as an image from our own address. Raises BadQr."""
    if not url.startswith(DATA_URL) or len(url) > MAX_PNG * 4 // 3:
        raise BadQr("the QR code is not a PNG data URL of at most 64 KiB")
    try:
        image = base64.b64decode(url.removeprefix(DATA_URL), validate=True)
    except ValueError as error:  # binascii.Error, or a plain one if the text is not ASCII
        raise BadQr("the QR code is not valid base64") from error
    if not image.startswith(PNG):
        raise BadQr("the QR code is not a PNG image")
    return Qr(png=image)
