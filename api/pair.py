"""`pair` starts an attempt to link, for an account that is found or made. docs/rules.md has the result by state."""

from typing import Any, TypedDict
from uuid import UUID

from django.core.exceptions import ValidationError as DjangoValidationError
from rest_framework.exceptions import ValidationError

from accounts import phones
from accounts.access import audit
from accounts.db import locks
from accounts.db.transactions import atomically, patiently
from accounts.lifecycle import PAIRING
from accounts.models import Account, LinkInvitation, LinkSession, Workspace
from accounts.pairing import attempts, no_bridge, waiting_line
from accounts.pairing.attempts import May
from api.authentication import Asker, nothing_here
from api.http.errors import ApiError
from api.models import Scope

STATUSES = {
    "ALREADY_CONNECTED": 409,
    "ACCOUNT_INACTIVE": 409,
    "NO_BRIDGE_AVAILABLE": 503,
}  # every other refusal passes with time: 429


class Paired(TypedDict):
    account: UUID
    session_id: str
    status: str
    expires_in: int  # seconds until the attempt lapses
    place: int  # in the line before its bridge; 0: not in line
    link_url: str  # empty for staff who may not invite


def pair(
    asker: Asker, *, account: UUID | None = None, phone_number: str = "", label: str = "", force: bool = False
) -> Paired:
    """Start a pairing and invite to it. Raises ApiError: 404, or the reason why it is refused now (`attempts.start`).

    A connected account is refused, and its bridge is asked whether it still is connected. If not, the link is being
    restored when the caller asks again; nothing new is started then, and the answer's status is `disconnected` (a 202).
    """
    phone = _read(phone_number, asker) if phone_number else None
    try:
        return _pair(asker, account=account, phone=phone, label=label, force=force)
    except attempts.PairingRefused as refusal:
        if known := _known(asker, account=account, phone=phone):
            _follow_up(known, refusal)
        raise ApiError(
            STATUSES.get(refusal.code, 429),
            refusal.code,
            str(refusal),
            retry_after=refusal.retry_after,
            reason=refusal.obstacle,
        ) from refusal


def _follow_up(account: Account, refusal: attempts.PairingRefused) -> None:
    """What a refusal leads to; it stands after the transaction that the refusal has taken back."""
    if refusal.code == "ALREADY_CONNECTED":
        attempts.doubt(account.pk)
    no_bridge.note(account.pk, refusal)


def account_of(asker: Asker, account: UUID) -> Account:
    """Return the live account, also for the UUID of one that was merged into it. Raises ApiError 404."""
    found = asker.workspace.accounts.select_related("merged_into").filter(uuid=account).first()
    living = found.resolve() if found else None
    if living is None or living.deleted_at is not None:
        raise nothing_here()
    return living


def reset(asker: Asker, *, account: UUID | None) -> int:
    """Reset one account, or every pairing in progress in the workspace. Returns how many were reset.

    Raises ApiError 404 for an account that is not theirs.
    """
    if account is not None:
        _reset(asker, account_of(asker, account))
        return 1
    running = asker.workspace.accounts.live().filter(status__in=PAIRING).order_by("pk")
    return sum(_reset_pairing(asker, pk) for pk in running.values_list("pk", flat=True))


@patiently
def _pair(asker: Asker, *, account: UUID | None, phone: str | None, label: str, force: bool) -> Paired:
    """This is one transaction, so that a refusal also takes back an account that was made for it."""
    # The lock makes a concurrent request find the account that we make, instead of making a second one.
    workspace = locks.row_in_turn(Workspace, pk=asker.workspace.pk)
    known = _known(asker, account=account, phone=phone)
    chosen = known or Account.objects.create(workspace=workspace, label=label, phone_number=phone)
    before = _state(chosen) if known else {}
    restored = None if force else attempts.being_restored(chosen)
    session = restored or attempts.start(
        chosen.pk,
        trigger="api",
        actor=asker.actor,
        reason=asker.name,
        may=_may(asker, force=force),
    )
    answer = _answer(session, asker)
    if answer["link_url"] or not restored:
        _record("pair", asker, session.account, before)
    return answer


def _read(written: str, asker: Asker) -> str:
    try:
        return phones.normalise(written, country=asker.workspace.country)
    except DjangoValidationError as error:
        raise ValidationError({"phone_number": error.messages}) from error


def _may(asker: Asker, *, force: bool) -> May:
    """`force` replaces a code that waits for its scan; with the scope `manage` also an attempt that was scanned."""
    if not force:
        return May.NOTHING
    return May.INTERRUPT if Scope.MANAGE in asker.scopes else May.RENEW


def _known(asker: Asker, *, account: UUID | None, phone: str | None) -> Account | None:
    """The account that was asked for, if it was there before."""
    if account is not None:
        return account_of(asker, account)
    return asker.workspace.accounts.with_phone(phone).first() if phone else None


def _answer(session: LinkSession, asker: Asker) -> Paired:
    account = session.account
    return Paired(
        account=account.uuid,
        session_id=session.session_id,
        status=account.status,
        expires_in=attempts.seconds_left(account, session),
        place=waiting_line.place_of(session),
        link_url=LinkInvitation.issue(account, created_by=asker.actor) if asker.may_invite else "",
    )


@atomically
def _reset_pairing(asker: Asker, pk: int) -> bool:
    locks.row(Workspace, pk=asker.workspace.pk)  # before its accounts, as everywhere
    account = Account.objects.lock(pk)
    if account.status not in PAIRING:  # it has linked since we looked: a reset would throw it out
        return False
    _reset(asker, account)
    return True


@patiently
def _reset(asker: Asker, account: Account) -> None:
    before = _state(account)
    attempts.force_reset(account.pk, actor=asker.actor, reason=f"API: {asker.name}")
    account.refresh_from_db(fields=["status"])
    _record("force_reset", asker, account, before)


def _state(account: Account) -> dict[str, Any]:
    """Return the fields that the API changes. It makes no query: `pair` holds the lock that others wait for."""
    return {"status": account.status, "phone_number": account.phone_number}


def _record(action: str, asker: Asker, account: Account, before: dict[str, Any]) -> None:
    """Note it in the audit, in the transaction of the change."""
    now = _state(account)
    changed = [name for name, value in now.items() if value != before.get(name)]
    audit.record(
        f"account.{action}",
        actor=asker.actor,
        who=asker.name,
        of=account,
        before={name: before[name] for name in changed if name in before},
        after={name: now[name] for name in changed},
        reason="API",
    )
