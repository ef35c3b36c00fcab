"""The state that the page gets: by its first rendering, the snapshot endpoint and the socket alike."""

from accounts import snapshots
from accounts.snapshots import Snapshot
from linking.screens import face_of


class PageState(Snapshot):
    face: str  # which section of the page to show (linking/screens.py)


def state_of(snapshot: Snapshot) -> PageState:
    return PageState(**snapshot, face=face_of(snapshot))


def take(account_id: int) -> PageState:
    """Raises Account.DoesNotExist."""
    return state_of(snapshots.take(account_id))
