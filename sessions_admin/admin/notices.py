"""Links that flap and what WhatsApp restricts, and the losses that are counted for it. Written by the domain alone."""

from django.contrib import admin
from django.utils.translation import gettext_lazy

from accounts.models import AccountNotice, LinkLoss
from sessions_admin.admin.base import ReadOnlyAdmin, age_of
from sessions_admin.admin.phone_search import of_account


@admin.register(AccountNotice)
class AccountNoticeAdmin(ReadOnlyAdmin):
    list_display = ["kind", "account", "count", "begun", "told", "until", "text"]
    list_select_related = ["account"]
    list_filter = ["kind"]
    search_fields = ["account__label", "account__phone_number", "session__session_id", "text"]
    search_help_text = gettext_lazy("Account, phone number, session id or what was said")
    phone_columns = of_account("account__")
    ordering = ["-pk"]
    fields = ["kind", "account", "session", "text", "count", "since", "last_at", "until"]

    begun = age_of("since", gettext_lazy("since"))
    told = age_of("last_at", gettext_lazy("last told"))


@admin.register(LinkLoss)
class LinkLossAdmin(ReadOnlyAdmin):
    list_display = ["session", "lost", "said"]
    list_select_related = ["session"]
    search_fields = ["session__session_id", "session__account__label", "session__account__phone_number", "said"]
    search_help_text = gettext_lazy("Session id, account, phone number or reason")
    phone_columns = of_account("session__account__")
    ordering = ["-pk"]
    fields = ["session", "at", "said"]

    lost = age_of("at", gettext_lazy("when"))
