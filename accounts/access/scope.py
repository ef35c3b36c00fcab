"""Which rows a person sees: those of their workspaces, or all."""

from typing import Any, TypeVar, cast

from django.db.models import Model, Q, QuerySet

from accounts.models import User

M = TypeVar("M", bound=Model)

# The way from a row to its workspace. Rows of a model that is not here belong to no workspace: those who see all
# workspaces see them, and nobody else.
WAYS = {
    "accounts.workspace": "pk",
    "accounts.account": "workspace",
    "accounts.accountnotice": "account__workspace",
    "accounts.auditentry": "workspace",
    "accounts.bridgeorder": "session__account__workspace",
    "accounts.linkinvitation": "account__workspace",
    "accounts.linkloss": "session__account__workspace",
    "accounts.linkmove": "session__account__workspace",
    "accounts.linksession": "account__workspace",
    "accounts.message": "session__account__workspace",
    "accounts.transition": "account__workspace",
    "api.workspacetoken": "workspace",
    "webhooks.webhookevent": "session__account__workspace",
}


def seen_by(user: User, rows: QuerySet[M]) -> QuerySet[M]:
    """Return those of the rows that this person sees."""
    if user.sees_all:
        return rows
    limit = _SHARED.get(rows.model._meta.label_lower)
    if limit is not None:
        return rows.filter(pk__in=rows.model._default_manager.filter(limit(user)).order_by().values("pk"))
    way = WAYS.get(rows.model._meta.label_lower)
    return rows.filter(**{f"{way}__in": user.workspaces_seen().order_by().values("pk")}) if way else rows.none()


def may_see_any(user: User, model: type[Model]) -> bool:
    """Whether this person may see rows of a model at all: those that belong to no workspace are for who sees all."""
    label = model._meta.label_lower
    return user.sees_all or label in WAYS or label in _SHARED


def workspace_of(row: Model | None) -> int | None:
    """The primary key of the workspace that a row belongs to; None: it belongs to none."""
    way = WAYS.get(row._meta.label_lower) if row is not None else None
    if way is None:
        return None
    value: Any = row
    for step in way.split("__"):
        value = getattr(value, step, None)
    return cast(int | None, value.pk if isinstance(value, Model) else value)


def _serves(user: User) -> Q:
    """Bridges serve the workspaces that are chosen for them, or all if none is."""
    return Q(workspaces__in=user.workspaces_seen()) | Q(workspaces__isnull=True)


def _works_with(user: User) -> Q:
    return Q(workspaces__in=user.workspaces_seen()) | Q(pk=user.pk)


def _audited(user: User) -> Q:
    """A person sees the entries of their workspaces, of people whom they see, and their own.

    Entries name people as text. The ids are compared as text here, for a database would compare it with a number, or
    refuse to where the two have different collations.
    """
    people = seen_by(user, User.objects.all()).values_list("pk", flat=True)
    of_people = Q(model=User._meta.label_lower, object_id__in=[str(pk) for pk in people])
    return Q(workspace__in=user.workspaces_seen()) | Q(actor=user) | of_people


_SHARED = {"accounts.auditentry": _audited, "accounts.bridge": _serves, "accounts.user": _works_with}
