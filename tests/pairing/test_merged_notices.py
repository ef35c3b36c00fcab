"""Two accounts of one phone become one: what holds of the link that stays is told of the account that lives on."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Account, AccountNotice, LinkSession, User, Workspace
from accounts.pairing import attempts, number_decisions
from tests.support.links import link
from tests.support.portal import Portal

pytestmark = pytest.mark.django_db
Kind = AccountNotice.Kind
TIME_LOCK, CHAT_CAP, FLAPPING = Kind.TIME_LOCK, Kind.CHAT_CAP, Kind.FLAPPING


@pytest.fixture
def staff(db: None) -> User:
    return User.objects.create_user("sari")


@pytest.fixture
def first(portal: Portal, session: LinkSession) -> LinkSession:
    link(portal, session, phone_number="558587650001")
    session.refresh_from_db()
    return session


@pytest.fixture
def second(portal: Portal, workspace: Workspace, first: LinkSession) -> LinkSession:
    """The later link of the two, of an account that is marked as the twin of the other."""
    twin = Account.objects.create(workspace=workspace)
    Account.objects.filter(pk=twin.pk).update(phone_number="5585987650001", twin_of=first.account)
    session = attempts.start(twin.pk, trigger="test")
    link(portal, session, phone_number="558587650001")
    session.refresh_from_db()
    return session


def tell(session: LinkSession, kind: AccountNotice.Kind, *, text: str) -> None:
    later = timezone.now() + timedelta(hours=6)
    AccountNotice.objects.create(account_id=session.account_id, session=session, kind=kind, text=text, until=later)


def told(account: Account) -> list[tuple[str, str]]:
    return list(AccountNotice.objects.current().filter(account=account).order_by("kind").values_list("kind", "text"))


@pytest.mark.parametrize(
    ("of_first", "of_second", "after"),
    [
        ([], [TIME_LOCK], [(TIME_LOCK, "second")]),
        ([TIME_LOCK], [TIME_LOCK], [(TIME_LOCK, "second")]),
        ([CHAT_CAP], [TIME_LOCK], [(TIME_LOCK, "second")]),  # the other link is over, and its restriction with it
        ([FLAPPING], [FLAPPING, TIME_LOCK], [(FLAPPING, "second"), (TIME_LOCK, "second")]),
        ([FLAPPING], [], [(FLAPPING, "first")]),
    ],
)
def test_the_later_link_brings_its_own(
    first: LinkSession, second: LinkSession, staff: User,
    of_first: list[Kind], of_second: list[Kind], after: list[tuple[str, str]],
) -> None:  # fmt: skip
    for kind in of_first:
        tell(first, kind, text="first")
    for kind in of_second:
        tell(second, kind, text="second")
    merged = number_decisions.merge_twin(second.account_id, actor=staff)
    assert merged.current_session == second
    assert told(merged) == after
    assert set(AccountNotice.objects.values_list("account", flat=True)) == {merged.pk}


def test_a_link_that_stays_keeps_its_own(portal: Portal, first: LinkSession, second: LinkSession, staff: User) -> None:
    portal.post("session_disconnected", second, reason="NAVIGATION")
    tell(first, TIME_LOCK, text="first")
    tell(second, TIME_LOCK, text="second")
    tell(second, FLAPPING, text="second")
    merged = number_decisions.merge_twin(second.account_id, actor=staff)
    assert merged.current_session == first
    assert told(merged) == [(FLAPPING, "second"), (TIME_LOCK, "first")]
