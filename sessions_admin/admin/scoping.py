"""What a person sees of the admin beyond the rows of a list: its pages, filters, choices and links.

Which rows those are is decided in `accounts/access/scope.py`. Here nothing leads past it: whatever names a row that
this person does not see gets the same 404 as a row that does not exist.
"""

from collections.abc import Iterable, Iterator
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.filters import SimpleListFilter
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ERROR_FLAG, IGNORED_PARAMS, PAGE_VAR
from django.core.exceptions import BadRequest, FieldDoesNotExist, PermissionDenied, ValidationError
from django.db.models import DateField, Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from accounts.access import scope
from sessions_admin.visibility import actor_of

# What a list's address may say besides its filters: page, order, search.
OF_EVERY_LIST = {*IGNORED_PARAMS, PAGE_VAR, ERROR_FLAG}
# How Django's filters write a field in an address. With any other lookup, such as `startswith`, a list would answer
# letter by letter what stands in a column that it does not show.
ASKED_BY_FILTERS = {"", "__exact", "__isnull", "__isempty"}


def choices_for(request: HttpRequest, model: type[Model]) -> QuerySet[Any]:
    """The rows of a model that this user may choose or filter by. Roles and permissions belong to no workspace, and
    who may give which is another rule (accounts/access/rank.py)."""
    rows: QuerySet[Any] = model._default_manager.all()
    return rows if model._meta.app_label == "auth" else scope.seen_by(actor_of(request), rows)


Base: Any = admin.ModelAdmin  # the stubs know nothing of unfold's admin, which the classes of ours have too


class Scoped(Base):  # type: ignore[misc]  # untyped, as said above
    """Stands before unfold's and Django's admin in the bases of ours."""

    # What our own links ask of this list besides its filters, such as "account__id__exact".
    linked_by: tuple[str, ...] = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows that this user may see. Pages, searches, actions and the dashboard all start from here."""
        return scope.seen_by(actor_of(request), super().get_queryset(request))

    # --- pages ------------------------------------------------------------------------------------
    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_open(request) and super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._is_open(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_open(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_open(request) and super().has_delete_permission(request, obj)

    def _is_open(self, request: HttpRequest) -> bool:
        """Rows that belong to no workspace have no page for a person who sees only some of them."""
        return scope.may_see_any(actor_of(request), self.model)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """A row has one address. Python reads "+1", " 1" and "01" as 1 too: a page and a rule that read an address
        differently would speak of two rows."""
        found = super().get_object(request, object_id, from_field)
        is_its_address = found is not None and str(found.serializable_value(from_field or "pk")) == str(object_id)
        return found if is_its_address else None

    def _get_obj_does_not_exist_redirect(self, *_: Any) -> HttpResponse:
        raise Http404  # Django leads to the overview, and repeats the id there

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Django names all that would be deleted with a row: of a person, everything that they ever edited."""
        to_delete, counts, lacking, protected = super().get_deleted_objects(objs, request)
        if actor_of(request).sees_all:
            return to_delete, counts, lacking, protected
        own = self.opts.verbose_name_plural
        return [str(row) for row in objs], {own: len(objs)}, lacking, protected

    # --- lists ------------------------------------------------------------------------------------
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied  # first: without permission nobody learns what exists
        for key, value in _asked(request):
            if not self.lookup_allowed(key, value, request):
                raise PermissionDenied
            self._find_related(request, key, value)
        self._find_chosen(request)
        return cast(HttpResponse, super().changelist_view(request, extra_context))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Only what the list's filters and our own links ask."""
        filters = self.get_list_filter(request)
        return lookup in self.linked_by or any(lookup in _parameters(self.model, each) for each in filters)

    def _find_related(self, request: HttpRequest, lookup: str, value: str) -> None:
        """Raise Http404 if a list is asked for the rows of something that this user does not see."""
        path, _, pk = lookup.removesuffix("__exact").rpartition("__")
        field = _field(self.model, path)
        related = field.related_model if field else None
        if related is None or pk != related._meta.pk.name:
            return
        if not choices_for(request, related).filter(pk__in=_keys(related, [value])).exists():
            raise Http404

    def _find_chosen(self, request: HttpRequest) -> None:
        """Raise Http404 if a row is chosen for an action that this user does not see; a malformed key is a 400."""
        chosen = set(_keys(self.model, request.POST.getlist(ACTION_CHECKBOX_NAME)))
        # By primary keys alone: some lists annotate their rows with counts.
        rows = scope.seen_by(actor_of(request), self.model._default_manager.filter(pk__in=chosen))
        if chosen and rows.count() < len(chosen):
            raise Http404

    # --- forms ------------------------------------------------------------------------------------
    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", choices_for(request, db_field.related_model))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("queryset", choices_for(request, db_field.related_model))
        return super().formfield_for_manytomany(db_field, request, **kwargs)


class SeenFilter(admin.RelatedFieldListFilter):
    """The filter of all our lists by a related row: it offers those that this user sees."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        rows = choices_for(request, field.related_model).order_by().values("pk")
        ordering = self.field_admin_ordering(field, request, model_admin)
        return field.get_choices(include_blank=False, ordering=ordering, limit_choices_to={"pk__in": rows})


admin.FieldListFilter.register(lambda field: bool(field.remote_field), SeenFilter, take_priority=True)


def _asked(request: HttpRequest) -> Iterator[tuple[str, str]]:
    for key, values in request.GET.lists():
        if key not in OF_EVERY_LIST:
            yield from ((key, value) for value in values)


def _parameters(model: type[Model], list_filter: Any) -> set[str]:
    """Return the parameters that an entry of `list_filter` may write into an address."""
    if isinstance(list_filter, type) and issubclass(list_filter, SimpleListFilter):
        return {str(list_filter.parameter_name)}
    path = list_filter[0] if isinstance(list_filter, list | tuple) else str(list_filter)
    field = _field(model, path)
    endings = {*ASKED_BY_FILTERS, *(("__gte", "__lt") if isinstance(field, DateField) else ())}
    if field is not None and field.related_model:
        endings.add(f"__{field.related_model._meta.pk.name}__exact")
    return {f"{path}{ending}" for ending in endings}


def _field(model: Any, path: str) -> Any:
    """The field that a path leads to; None if it leads nowhere."""
    field: Any = None
    for step in path.split("__"):
        try:
            field = model._meta.get_field(step) if model else None
        except FieldDoesNotExist:
            return None
        model = field.related_model if field else None
    return field


def _keys(model: type[Model], written: Iterable[str]) -> list[Any]:
    """Primary keys as they are written in a request. Raises BadRequest: Django would answer with a 500."""
    try:
        return [model._meta.pk.clean(key, None) for key in written]
    except ValidationError as error:
        raise BadRequest("What is chosen is no row.") from error
