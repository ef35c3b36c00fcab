"""What is asked of an account that a `ready` is just merging into another: it is asked of the one that lives on."""

from functools import partial

import pytest

from accounts.lifecycle import EndReason, Status
from accounts.models import Account, Bridge, LinkInvitation, LinkSession, Workspace
from accounts.pairing import attempts
from tests.support.links import READY, link
from tests.support.portal import Portal
from tests.support.races import PHONES, assert_every_history_is_a_legal_chain, at_once, tell


@pytest.mark.django_db
def test_a_reset_after_the_merge_resets_the_one_that_lives_on(
    portal: Portal, account: Account, session: LinkSession
) -> None:
    known = Account.objects.create(workspace=account.workspace, phone_number=READY["phone_number"])
    LinkInvitation.issue(known)
    link(portal, session)
    known.refresh_from_db()
    assert known.status == Status.CONNECTED
    attempts.force_reset(account.pk, reason="the button was on the page of the other one")
    known.refresh_from_db()
    session.refresh_from_db()
    assert (known.status, session.end_reason) == (Status.INACTIVE, EndReason.RESET)
    assert not known.invitations.usable().exists()


@pytest.mark.race
@pytest.mark.django_db(transaction=True)
def test_a_reset_and_the_merge_at_once_leave_nothing_linked(workspace: Workspace, bridge: Bridge) -> None:
    for phone in PHONES:
        known = Account.objects.create(workspace=workspace, phone_number=phone)
        placeholder = Account.objects.create(workspace=workspace)
        session = attempts.start(placeholder.pk, trigger="test")
        ready = partial(tell, Portal("alpha-hmac"), "session_ready", session, **READY | {"phone_number": phone})
        results = at_once([partial(attempts.force_reset, placeholder.pk), ready])
        assert not [result for result in results if isinstance(result, Exception)]
        session.refresh_from_db()
        known.refresh_from_db()
        assert (known.status, session.end_reason) == (Status.INACTIVE, EndReason.RESET)
    assert_every_history_is_a_legal_chain()
