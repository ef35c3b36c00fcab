"""Chat messages as a Node bridge sends them, and the files that they leave."""

import base64
from pathlib import Path
from typing import Any

from django.conf import settings

from accounts.models import LinkSession
from tests.support.portal import Portal

# As captured (contract 1.3).
PRIVATE = {
    "id": "false_6281234567890@c.us_E11A7F722F4D23F3C053BE8A3D4C28C0",
    "from": "6281234567890@c.us",
    "to": "6281167328422@c.us",
    "body": "halo",
    "timestamp": 1795173042,
    "from_me": False,
    "type": "chat",
    "has_media": False,
    "chat_type": "private",
}
GROUP = PRIVATE | {
    "id": "false_120363000000000001@g.us_D7C035A1B253FA2C3696E30D6BDD07FE_6281999@c.us",
    "from": "120363000000000001@g.us",
    "body": "grp",
    "chat_type": "group",
    "group_id": "120363000000000001@g.us",
    "group_name": "Team",
    "participants": ["628222222222@c.us", "628333333333@c.us"],
    "sender_phone": "6281999",
    "sender_name": "Fake Contact",
}
SENT = {
    "id": "true_6281234567890@c.us_C3252A497B6BB9744EEA3D10070AF8C9",
    "from": "6281234567890@c.us",
    "to": "6281234567890@c.us",
    "body": "from my phone",
    "timestamp": 1795173042,
    "type": "chat",
    "has_media": False,
    "status": "pending",
    "from_me": True,
    "chat_type": "private",
}


def media(content: bytes, mimetype: str = "image/jpeg", filename: str = "image_1795173042370") -> dict[str, Any]:
    data = base64.b64encode(content).decode()
    return PRIVATE | {
        "type": "image",
        "has_media": True,
        "media": {"data": data, "mimetype": mimetype, "filename": filename},
    }


def stored_files() -> list[Path]:
    return [path for path in Path(settings.MEDIA_ROOT).rglob("*") if path.is_file()]


def receive(
    portal: Portal, session: LinkSession | str, message: dict[str, Any], event: str = "message_received"
) -> Any:
    more = {"source": "message_create_event"} if event == "message_sent" else {}
    return portal.post(event, session, message=message, **more)
