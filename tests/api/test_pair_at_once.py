"""Many who pair in one workspace at the same moment: each gets a pairing or a place in line."""

from functools import partial

import pytest

from accounts.models import Bridge, Workspace
from tests.api.conftest import program
from tests.support.races import at_once

pytestmark = [pytest.mark.race, pytest.mark.timeout(300), pytest.mark.django_db(transaction=True)]
AT_ONCE = 60


def test_sixty_with_numbers_all_get_a_pairing_or_a_place(workspace: Workspace, bridge: Bridge) -> None:
    asks = [program(workspace) for _ in range(AT_ONCE)]
    calls = [partial(who.post, "pair", phone_number=f"62811000{number:05}") for number, who in enumerate(asks)]
    answers = at_once(calls)
    assert [answer.status_code for answer in answers] == [201] * AT_ONCE
