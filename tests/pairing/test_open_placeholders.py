"""Rule "One place": so many pairings without a phone number at once in a workspace, and when the next one may begin."""

from typing import Any

import pytest

from accounts.models import Account, Bridge, LinkSession, Workspace
from accounts.pairing import attempts
from accounts.pairing.attempts import PairingRefused
from tests.support.links import QR, move_back
from tests.support.portal import Portal

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _three_at_once(bridge: Bridge, settings: Any) -> None:
    settings.LINKDESK_MAX_OPEN_PLACEHOLDERS = 3


def begin(workspace: Workspace, *, ago: float = 0) -> LinkSession:
    session = attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")
    move_back(session, ago)
    return session


def refused(workspace: Workspace) -> tuple[str, int]:
    with pytest.raises(PairingRefused) as refusal:
        begin(workspace)
    assert refusal.value.code == "TOO_MANY_PAIRINGS"
    return str(refusal.value), refusal.value.retry_after or 0


def test_the_seconds_are_those_until_the_first_of_them_lapses(workspace: Workspace) -> None:
    for ago in (10, 50, 30):
        begin(workspace, ago=ago)
    text, seconds = refused(workspace)
    assert 8 <= seconds <= 10
    assert text.endswith("Try again in a minute.")


def test_of_one_too_many_two_must_lapse(workspace: Workspace, settings: Any) -> None:
    for ago in (10, 50, 30):
        begin(workspace, ago=ago)
    settings.LINKDESK_MAX_OPEN_PLACEHOLDERS = 2
    assert 28 <= refused(workspace)[1] <= 30


def test_what_has_lapsed_takes_no_place_though_no_worker_came_by(workspace: Workspace) -> None:
    for ago in (10, 61, 30):
        begin(workspace, ago=ago)
    assert begin(workspace).is_open


def test_who_waits_in_line_waits_for_minutes(workspace: Workspace) -> None:
    Bridge.objects.update(pairings_at_once=0)
    for _ in range(3):
        assert begin(workspace).waits_in_line
    text, seconds = refused(workspace)
    assert 590 <= seconds <= 600
    assert text.endswith("Try again in 10 minutes.")


def test_a_shown_code_counts_from_its_showing(workspace: Workspace, portal: Portal) -> None:
    for _ in range(3):
        portal.post("qr_code_generated", begin(workspace), **QR)
    assert 110 <= refused(workspace)[1] <= 120


def test_none_allowed_is_none(workspace: Workspace, settings: Any) -> None:
    settings.LINKDESK_MAX_OPEN_PLACEHOLDERS = 0
    assert refused(workspace)[1] == 60
