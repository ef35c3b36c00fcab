"""Compares the rights of two people: nobody may set the password or the roles of a person with more rights."""

from django.contrib.auth.models import Group, Permission
from django.db.models import Q, QuerySet

from accounts.models import User


def may_more(other: User, user: User) -> bool:
    """Whether `other` may or sees anything that `user` does not. A deactivated account counts as if it were active:
    whoever may set its password could activate it."""
    if user.is_superuser:
        return False
    if other.is_superuser or (other.all_workspaces and not user.all_workspaces):
        return True
    if not user.sees_all and other.workspaces_seen().exclude(pk__in=user.workspaces_seen().values("pk")).exists():
        return True
    return _permissions_of(other).exclude(pk__in=_permissions_of(user).values("pk")).exists()


def groups_to_give(user: User) -> QuerySet[Group]:
    """The groups that grant nothing which `user` has not."""
    if user.is_superuser:
        return Group.objects.all()
    beyond = Permission.objects.exclude(pk__in=_permissions_of(user).values("pk"))
    return Group.objects.exclude(pk__in=Group.objects.filter(permissions__in=beyond).values("pk"))


def _permissions_of(user: User) -> QuerySet[Permission]:
    return Permission.objects.filter(Q(user=user) | Q(group__user=user)).distinct()
