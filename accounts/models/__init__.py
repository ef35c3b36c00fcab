"""The schema. `from accounts.models import Account`; each model is in the file that is named for it."""

from accounts.models.account import Account
from accounts.models.bridge import Bridge, BridgeSecret
from accounts.models.history import Transition
from accounts.models.invitation import LinkInvitation
from accounts.models.message import Message
from accounts.models.order import BridgeOrder
from accounts.models.session import LinkSession
from accounts.models.user import User
from accounts.models.workspace import Workspace

__all__ = [
    "Account",
    "Bridge",
    "BridgeOrder",
    "BridgeSecret",
    "LinkInvitation",
    "LinkSession",
    "Message",
    "Transition",
    "User",
    "Workspace",
]
