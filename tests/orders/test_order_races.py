"""Many ask for one phone's pairing at once: one begins, the others are told how long, the bridge has one client."""

from functools import partial
from typing import Any

import pytest
from django.utils import timezone

from accounts.delivery import dispatcher
from accounts.models import BridgeOrder, LinkSession, Workspace
from tests.api.conftest import Program, assert_refused, program
from tests.support.misbehaving import faithful, misbehaving_bridge
from tests.support.portal import PHONE, make_bridge
from tests.support.races import at_once

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]

TOGETHER = 50


def test_fifty_pairs_of_one_phone_are_one_client(workspace: Workspace) -> None:
    with misbehaving_bridge() as node:
        node.plays(faithful)
        make_bridge("alpha", url=node.url)
        token = program(workspace).headers["Authorization"].removeprefix("Bearer ")

        def pair() -> Any:
            return Program(token).post("pair", phone_number=PHONE)

        answers = at_once([pair] * TOGETHER)
        began = LinkSession.objects.get().started_at
        assert sorted(answer.status_code for answer in answers) == [201] + [429] * (TOGETHER - 1)
        # The first QR code is due 60 s after the start; each was told between the start and now.
        least = 60 - (timezone.now() - began).total_seconds()
        for answer in answers:
            if answer.status_code == 429:
                assert least <= assert_refused(answer, 429, "PAIRING_IN_PROGRESS")["retry_after"] <= 60
        order = BridgeOrder.objects.get()
        assert at_once([partial(dispatcher.deliver, order.pk)] * 4) == [None] * 4
        assert node.clients == {LinkSession.objects.get().session_id: 1}
