"""The queue's own tables. Its forms can run any function of the program, so they are for superusers."""

from django.contrib import admin
from django_q import admin as queue_admin
from django_q.models import Failure, OrmQ, Schedule, Success

from sessions_admin.admin.base import ModelAdmin
from sessions_admin.admin.people import SuperusersOnly

admin.site.unregister([Schedule, Success, Failure, OrmQ])


@admin.register(Schedule)
class ScheduleAdmin(SuperusersOnly, queue_admin.ScheduleAdmin, ModelAdmin):  # type: ignore[misc]
    pass


@admin.register(Success)
class SuccessAdmin(SuperusersOnly, queue_admin.TaskAdmin, ModelAdmin):  # type: ignore[misc]
    def has_add_permission(self, request: object) -> bool:
        return False


@admin.register(Failure)
class FailureAdmin(SuperusersOnly, queue_admin.FailAdmin, ModelAdmin):  # type: ignore[misc]
    def has_add_permission(self, request: object) -> bool:
        return False


@admin.register(OrmQ)
class OrmQAdmin(SuperusersOnly, queue_admin.QueueAdmin, ModelAdmin):  # type: ignore[misc]
    search_fields = ["key"]  # the task itself is pickled

    def has_add_permission(self, request: object) -> bool:
        return False
