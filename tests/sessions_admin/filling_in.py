"""A form of the admin filled in with something valid, whichever form it is."""

from typing import Any

from django import forms
from django.db.models import Model


def as_shown(form: Any) -> dict[str, Any]:
    """What a browser sends when somebody presses Save at once."""
    data: dict[str, Any] = {}
    for bound in form:
        widget = getattr(bound.field.widget, "widget", bound.field.widget)
        value = bound.value()
        if isinstance(widget, forms.MultiWidget):
            parts = widget.decompress(value) or []
            data |= {f"{bound.html_name}_{number}": part or "" for number, part in enumerate(parts)}
        elif value is not None and value is not False:
            data[bound.html_name] = _plain(value)
    return data


def filled_in(form: Any) -> dict[str, Any]:
    """The same, with a value in each empty field that needs one."""
    data = as_shown(form)
    for bound in form:
        if bound.field.required and not data.get(bound.html_name):
            data |= {bound.html_name: _something(bound.field)}
    return data


def formsets(response: Any) -> dict[str, Any]:
    """What the inlines of the page send when nothing is added to them."""
    data: dict[str, Any] = {}
    for inline in response.context["inline_admin_formsets"]:
        data |= as_shown(inline.formset.management_form)
        for form in inline.formset.initial_forms:
            data |= as_shown(form)
    return data


def _something(field: Any) -> Any:
    if hasattr(field, "queryset"):
        return field.queryset.order_by("pk").values_list("pk", flat=True).last()
    if hasattr(field, "choices"):
        value = next(value for value, _text in field.choices if value)
        return [value] if isinstance(field, forms.MultipleChoiceField) else value
    return 1 if isinstance(field, forms.IntegerField) else "Sesuatu-7-batang"


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.pk if isinstance(value, Model) else str(value)
