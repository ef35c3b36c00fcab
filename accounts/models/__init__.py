"""The schema. Import models from here (`from accounts.models import Account`), not from the file that holds them."""

from accounts.models.account import Account
from accounts.models.audit import AuditEntry
from accounts.models.bridge import Bridge, BridgeSecret
from accounts.models.fleet import BridgeProcess, Incident, ReconcileRun, StraySession
from accounts.models.history import Transition
from accounts.models.invitation import LinkInvitation
from accounts.models.lease import Lease, Pulse
from accounts.models.link_move import LinkMove
from accounts.models.loss import LinkLoss
from accounts.models.message import Message
from accounts.models.notice import AccountNotice
from accounts.models.order import BridgeOrder
from accounts.models.session import LinkSession
from accounts.models.user import RolePolicy, User
from accounts.models.workspace import Workspace

__all__ = [
    "Account",
    "AccountNotice",
    "AuditEntry",
    "Bridge",
    "BridgeOrder",
    "BridgeProcess",
    "BridgeSecret",
    "Incident",
    "Lease",
    "LinkInvitation",
    "LinkLoss",
    "LinkMove",
    "LinkSession",
    "Message",
    "Pulse",
    "ReconcileRun",
    "RolePolicy",
    "StraySession",
    "Transition",
    "User",
    "Workspace",
]
