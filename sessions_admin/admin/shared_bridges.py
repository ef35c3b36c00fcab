"""A bridge as those see it who see only some workspaces: its name, and whether it is up.

Others may use it too. How many, what goes wrong there and where it runs is for those who see all workspaces.
"""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from accounts.bridges import choosing
from accounts.models import Bridge
from sessions_admin import bridge_display
from sessions_admin.admin.base import ModelAdmin, actor_of


class SharedBridges(ModelAdmin):
    SHOWN = ["name", "hearing"]

    @admin.display(description=gettext_lazy("state"))
    def hearing(self, bridge: Bridge) -> SafeString:
        return bridge_display.hearing(bridge)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        bridges = super().get_queryset(request)
        return choosing.with_load(bridges) if sees_all(request) else bridges

    def get_list_display(self, request: HttpRequest) -> Any:
        return super().get_list_display(request) if sees_all(request) else self.SHOWN

    def get_list_filter(self, request: HttpRequest) -> Any:
        return super().get_list_filter(request) if sees_all(request) else []

    def get_search_fields(self, request: HttpRequest) -> Any:
        return super().get_search_fields(request) if sees_all(request) else ["name"]

    def get_fields(self, request: HttpRequest, obj: Bridge | None = None) -> Any:
        return super().get_fields(request, obj) if sees_all(request) else self.SHOWN

    def get_readonly_fields(self, request: HttpRequest, obj: Bridge | None = None) -> Any:
        return super().get_readonly_fields(request, obj) if sees_all(request) else self.SHOWN

    def get_inlines(self, request: HttpRequest, obj: Bridge | None = None) -> Any:
        return super().get_inlines(request, obj) if sees_all(request) else []

    def has_add_permission(self, request: HttpRequest) -> bool:
        return sees_all(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Bridge | None = None) -> bool:
        return sees_all(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Bridge | None = None) -> bool:
        return sees_all(request) and super().has_delete_permission(request, obj)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> HttpResponse:
        if not sees_all(request):
            context["actions_detail_hide_default"] = True  # the link to the history
        answer: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return answer

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        self.find(request, object_id)
        if not sees_all(request):
            raise PermissionDenied
        answer: HttpResponse = super().history_view(request, object_id, extra_context)
        return answer


def sees_all(request: HttpRequest) -> bool:
    return actor_of(request).sees_all
