"""The life of one simulated phone: codes, scan, ready, and the failures that its knobs ask for."""

import asyncio
import base64
import hashlib
import os
import secrets
import time

import segno

from bridge.engines.base import ClientSpec, Emit, RestrictedError, SentMessage
from bridge.engines.simulated_knobs import Knobs
from bridge.engines.simulated_login import Login, LoginFiles

ACTION_SECONDS = 2.0  # how long the person takes to confirm the passkey
QR_EXPIRES_IN = 60  # contract 1.3

# (ack_level, status, event sent in addition). The status words are one step behind WhatsApp's meaning, as
# on the reference bridge, so readers trust ack_level (contract 1.3).
ACKS: tuple[tuple[int, str, str | None], ...] = (
    (1, "pending", None),
    (2, "sent", None),
    (3, "delivered", "message_delivered"),
)


def derived_phone(account_id: int | str) -> str:
    """The same account always has the same phone, also on another bridge."""
    digits = int.from_bytes(hashlib.sha256(str(account_id).encode()).digest()[:8]) % 10**8
    return f"62811{digits:08d}"


def new_code() -> str:
    """Return a code like WhatsApp's: a reference and three keys, 245 characters."""
    parts = [base64.b64encode(secrets.token_bytes(size)).decode() for size in (80, 32, 32, 32)]
    return "2@" + ",".join(parts)


def drawn(code: str) -> str:
    """Return a PNG data URL. A fixed mask and the lowest correction make it five times as fast to draw."""
    qr = segno.make(code, error="l", boost_error=False, mask=2, micro=False)
    return str(qr.png_data_uri(scale=4, border=4))


async def pause(seconds: float) -> None:
    """Sleep; for ever when `seconds` is negative."""
    if seconds < 0:
        await asyncio.Event().wait()
    await asyncio.sleep(seconds)


class SimulatedPhone:
    def __init__(self, spec: ClientSpec, *, knobs: Knobs, emit: Emit, files: LoginFiles) -> None:
        self.knobs = knobs
        self.pairing_phone: str | None = None  # set when a pairing code was asked for
        self._spec = spec
        self._emit = emit
        self._files = files
        self._qr_count = 0
        self.online_as: str | None = None  # its number, while messages reach it
        self.is_restricted = False

    async def live(self) -> None:
        login = self._files.read()
        if login is None and (login := await self._link()) is None:
            return
        await self._authenticate(login)
        if await self._become_ready(login):
            await self._be_restricted()
            await self._lose_connection(login)
            await self._be_logged_out()
        await pause(-1)

    async def crash(self) -> None:
        """End the process as kill -9 does: nothing is flushed, and no event is sent."""
        await asyncio.sleep(self.knobs.crash_after)
        if self._files.first_crash():
            os._exit(137)

    async def tell(self, event: str, data: dict[str, object]) -> None:
        for _ in range(2 if self.knobs.duplicate_events else 1):
            await self._emit(event, data)

    async def _link(self) -> Login | None:
        """Return None when nobody scanned in time. `live` says authenticated; with `shuffle` this does, too early
        for the last code, as on the reference bridge (contract 1.2)."""
        try:
            async with asyncio.timeout(self.knobs.expire_after if self.knobs.expire_after >= 0 else None):
                await self._show_codes_until_scanned()
        except TimeoutError:
            await self.tell("session_expired", {"reason": "qr_not_scanned"})
            return None
        if self.knobs.action_required:
            message = "Confirm with the passkey on the phone"
            await self.tell("session_action_required", {"kind": "passkey", "message": message})
            await asyncio.sleep(ACTION_SECONDS)
        login = Login(phone=self._phone(), device=secrets.randbelow(98) + 1)
        self._files.write(login)
        return login

    def _phone(self) -> str:
        if self.knobs.phone is not None:
            return self.knobs.phone
        return self.pairing_phone or derived_phone(self._spec.account_id)

    async def _show_codes_until_scanned(self) -> None:
        scan_at = time.monotonic() + self.knobs.scan_after
        while True:
            await self._show_code()
            left = scan_at - time.monotonic() if self.knobs.scan_after >= 0 else self.knobs.qr_every
            if self.knobs.scan_after >= 0 and left <= self.knobs.qr_every:
                await asyncio.sleep(left)
                return
            await asyncio.sleep(self.knobs.qr_every)

    async def _show_code(self) -> None:
        self._qr_count += 1
        code = new_code()
        data: dict[str, object] = {
            "qr_code": drawn(code),
            "qr_text": code,
            "expires_in": QR_EXPIRES_IN,
            "qr_count": self._qr_count,
            "is_regeneration": False,
        }
        await self.tell("qr_code_generated", data)

    async def _authenticate(self, login: Login) -> None:
        await self.tell("session_authenticated", {"status": "authenticated", **login.jid()})
        if self.knobs.shuffle and self._qr_count:
            # The code drawn just before the scan arrives just after it (contract 1.2).
            await self._show_code()

    async def _become_ready(self, login: Login) -> bool:
        await pause(self.knobs.ready_after)
        if not login.phone:
            message = "Failed to extract phone number after retries"
            await self.tell("session_error", {"error": "phone_extraction_failed", "message": message})
            return False
        ready = {"phone_number": login.phone, "status": "connected", "platform": "android"}
        self.online_as = login.phone
        await self.tell("session_ready", {**ready, "extraction_method": "simulated", **login.jid()})
        return True

    async def _be_restricted(self) -> None:
        """WhatsApp's time lock: the link stays, and messages to others are refused."""
        if self.knobs.restrict_after < 0:
            return
        await asyncio.sleep(self.knobs.restrict_after)
        self.is_restricted = True
        lock: dict[str, object] = {"kind": "time_lock", "active": True}
        if self.knobs.restrict_for >= 0:
            lock["until"] = int(time.time() + self.knobs.restrict_for)
        await self.tell("session_restricted", lock | {"message": "Too many chats with new people"})
        await pause(self.knobs.restrict_for)
        self.is_restricted = False
        await self.tell("session_restricted", {"kind": "time_lock", "active": False})

    async def _lose_connection(self, login: Login) -> None:
        if self.knobs.disconnect_after < 0:
            return
        await asyncio.sleep(self.knobs.disconnect_after)
        self.online_as = None
        reason = self.knobs.disconnect_reason
        await self.tell("session_disconnected", {"reason": reason} if reason else {})
        # No session_reconnected is sent: on the reference bridge it does not mean connected (contract 0.4). The
        # ready that follows here does.
        await pause(self.knobs.reconnect_after)
        await self._authenticate(login)
        await self._become_ready(login)

    async def _be_logged_out(self) -> None:
        """Someone removed the device on the phone: fresh codes with the same id, for ever (contract 1.4)."""
        if self.knobs.logout_after < 0:
            return
        await asyncio.sleep(self.knobs.logout_after)
        self.online_as = None
        self._files.remove()
        await self.tell("session_disconnected", {"reason": "LOGOUT"})
        while True:
            await self._show_code()
            await asyncio.sleep(self.knobs.qr_every)

    async def send(self, recipient: str, *, text: str) -> SentMessage:
        if self.is_restricted and recipient != self.online_as:
            raise RestrictedError("WhatsApp lets this account write to nobody new")
        chat = f"{recipient}@c.us"
        sent = SentMessage(f"true_{chat}_3EB0{secrets.token_hex(8).upper()}", int(time.time()))
        # The chat, not the sender: contract 1.3.
        message = _text_message(sent, from_=chat, to=chat, text=text) | {"status": "pending", "from_me": True}
        self._files.show(message)
        await self.tell("message_sent", {"message": message, "source": "message_create_event"})
        return sent

    async def receive(self, sent: SentMessage, *, sender: str, text: str) -> None:
        chat = f"{sender}@c.us"
        same = SentMessage(f"false_{chat}_{sent.message_id.rpartition('_')[2]}", sent.timestamp)
        message = _text_message(same, from_=chat, to=f"{self.online_as}@c.us", text=text)
        self._files.show(message)
        await self.tell("message_received", {"message": message})

    async def acknowledge(self, sent: SentMessage, *, recipient: str) -> None:
        stamp: dict[str, object] = {"message_id": sent.message_id, "timestamp": sent.timestamp}
        for level, status, extra in ACKS:
            await asyncio.sleep(self.knobs.ack_every)
            await self.tell("message_status_updated", {**stamp, "status": status, "ack_level": level})
            if extra:
                await self.tell(extra, {**stamp, "recipient": f"{recipient}@c.us"})

    async def change_mind(self, sent: SentMessage, *, text: str) -> None:
        """The person edits the message, and then takes it back, where the knobs say so."""
        if self.knobs.edit_after >= 0:
            await asyncio.sleep(self.knobs.edit_after)
            await self.tell("message_edited", {**_changed_now(sent), "body": f"{text} (edited)"})
        if self.knobs.revoke_after >= 0:
            await asyncio.sleep(self.knobs.revoke_after)
            await self.tell("message_revoked", _changed_now(sent))


def _changed_now(message: SentMessage) -> dict[str, object]:
    return {"message_id": message.message_id, "timestamp": round(time.time(), 3)}


def _text_message(message: SentMessage, *, from_: str, to: str, text: str) -> dict[str, object]:
    return {
        "id": message.message_id,
        "from": from_,
        "to": to,
        "body": text,
        "timestamp": message.timestamp,
        "type": "chat",
        "has_media": False,
        "from_me": False,
        "chat_type": "private",
    }
