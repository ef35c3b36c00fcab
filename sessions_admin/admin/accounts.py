"""The admin of accounts: find one, see its problem, set it right."""

from contextlib import suppress
from typing import Any, cast
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.db import locks
from accounts.db.transactions import atomically
from accounts.lifecycle import Status
from accounts.models import Account, LinkInvitation, Workspace
from accounts.pairing import attempts, link_probe, waiting_line
from accounts.pairing.attempts import May
from accounts.reconcile import relocation
from sessions_admin import bridge_display, display
from sessions_admin.admin.account_forms import AccountForm, MoveForm, ReasonForm, RenewForm, TestMessageForm
from sessions_admin.admin.account_numbers import NumberDecisions
from sessions_admin.admin.account_offers import is_offered
from sessions_admin.admin.base import (
    ActionVariant,
    DialogForm,
    actor_of,
    age_of,
    dialog_action,
    done,
    show_once,
)
from sessions_admin.admin.filters import DeletedFilter, NumberFilter
from sessions_admin.admin.phone_search import accounts_of_session, of_account
from sessions_admin.pages.account import page_of
from sessions_admin.visibility import page_of_row


@admin.register(Account)
class AccountAdmin(NumberDecisions):
    form = AccountForm
    autocomplete_fields = ["workspace"]
    list_display = ["name", "state", "phone", "workspace", "bridge", "since"]
    list_display_links = ["name"]
    list_select_related = ["workspace", "current_session__bridge"]
    list_filter = [
        "status",
        "workspace",
        ("current_session__bridge", admin.RelatedOnlyFieldListFilter),
        NumberFilter,
        DeletedFilter,
    ]
    search_fields = ["label", "phone_number", "workspace__name", "uuid"]
    search_help_text = gettext_lazy("Phone number, label, workspace, session id or UUID")
    phone_columns = of_account()
    ordering = ["-status_changed_at"]
    fieldsets = [
        (gettext_lazy("Account"), {"fields": ["workspace", "label", "phone_number", "is_active"]}),
        (
            gettext_lazy("Raw data"),
            {
                "classes": ["collapse"],
                "fields": [
                    "uuid",
                    "provider_type",
                    "version",
                    "status_changed_at",
                    "current_session",
                    "merged_into",
                    "created_at",
                    "updated_at",
                    "deleted_at",
                ],
            },
        ),
    ]
    add_fieldsets = [(None, {"fields": ["workspace", "label", "phone_number", "provider_type"]})]
    readonly_fields = [
        "phone",
        "uuid",
        "version",
        "status_changed_at",
        "current_session",
        "merged_into",
        "created_at",
        "updated_at",
        "deleted_at",
    ]
    change_form_outer_before_template = "sessions_admin/account_page.html"
    actions_detail_hide_default = True  # the history of edits to the form is one of the page's links
    actions_detail = ["accept_number", "take_new_number", "merge_twin"]
    actions_detail += ["renew_qr", "invite", "send_test_message", "move", "force_reset"]

    # --- the list ---------------------------------------------------------------------------------
    @admin.display(description=gettext_lazy("account"), ordering="label")
    def name(self, account: Account) -> str:
        return str(account)

    @admin.display(description=gettext_lazy("status"), ordering="status")
    def state(self, account: Account) -> SafeString:
        beside = bridge_display.unreachable(account)
        word = display.status(account.status)
        return display.several([word, beside]) if beside else word

    @admin.display(description=gettext_lazy("phone number"), ordering="phone_number")
    def phone(self, account: Account) -> SafeString:
        return display.number(display.phone(account.phone_number))

    @admin.display(description=gettext_lazy("bridge"))
    def bridge(self, account: Account) -> str:
        return str(account.current_session.bridge) if account.current_session else "–"

    since = age_of("-status_changed_at", gettext_lazy("since"))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        with suppress(ValueError):  # a UUID is found with or without dashes, whatever the database keeps
            search_term = str(UUID(search_term.strip()))
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        return found | queryset.filter(pk__in=accounts_of_session(search_term)), may_repeat

    # --- the page ---------------------------------------------------------------------------------
    def has_add_permission(self, request: HttpRequest) -> bool:
        """Without a workspace there is none to choose in the form."""
        actor = actor_of(request)
        return super().has_add_permission(request) and (actor.sees_all or actor.workspaces_seen().exists())

    def has_delete_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        return False  # accounts end softly, by the domain

    def has_change_permission(self, request: HttpRequest, obj: Account | None = None) -> bool:
        may_change: bool = super().has_change_permission(request, obj)
        return may_change and (obj is None or obj.deleted_at is None)

    def get_readonly_fields(self, request: HttpRequest, obj: Account | None = None) -> list[str]:
        if obj is None:
            return self.readonly_fields
        # WhatsApp told the number of a linked account; another one typed here would be wrong.
        linked = obj.status in {Status.CONNECTED, Status.DISCONNECTED} and obj.phone_number is not None
        return [*self.readonly_fields, "workspace", "provider_type", *(["phone_number"] if linked else [])]

    def get_fieldsets(self, request: HttpRequest, obj: Account | None = None) -> Any:
        """A phone number that is only shown is written in groups of digits, as everywhere."""
        fieldsets = super().get_fieldsets(request, obj)
        fixed = "phone_number" in self.get_readonly_fields(request, obj)
        if obj is None or (self.has_change_permission(request, obj) and not fixed):
            return fieldsets
        shown = {"phone_number": "phone"}
        return [
            (title, options | {"fields": [shown.get(name, name) for name in options["fields"]]})
            for title, options in fieldsets
        ]

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.method == "POST":
            return self._save_under_lock(request, object_id, form_url, extra_context)
        context = (extra_context or {}) | ({"desk": self._page(request, object_id)} if object_id else {})
        context["show_save_and_add_another"] = object_id is None
        return cast(HttpResponse, super().changeform_view(request, object_id, form_url, context))

    @atomically
    def _save_under_lock(
        self, request: HttpRequest, object_id: str | None, form_url: str, extra_context: Any
    ) -> HttpResponse:
        """Read, check and save under the locks that `ready` takes when it gives a phone to an account."""
        account = self.find(request, object_id) if object_id else None
        workspace = account.workspace_id if account else request.POST.get("workspace", "")
        if str(workspace).isdecimal():
            locks.rows(Workspace.objects.filter(pk=int(workspace)))
        if account:
            Account.objects.lock(account.pk)
        context = (extra_context or {}) | ({"desk": page_of(account, request)} if account else {})
        return cast(HttpResponse, super().changeform_view(request, object_id, form_url, context))

    def _page(self, request: HttpRequest, object_id: str) -> Any:
        account = self.get_object(request, object_id)
        return page_of(account, request) if account else None

    def save_model(self, request: HttpRequest, obj: Account, form: AccountForm, change: bool) -> None:
        if change:
            obj.touch(*form.changed_data)  # the label and the phone are on the pages of watchers
        else:
            super().save_model(request, obj, form, change)

    # --- what staff can do ------------------------------------------------------------------------
    def find(self, request: HttpRequest, object_id: str) -> Account:
        account: Account = super().find(request, object_id)
        if account.deleted_at is not None:
            raise Http404
        return account

    def is_offered(self, action: str, row: Account) -> bool:
        return row.deleted_at is None and is_offered(action, row)

    def has_renew_qr_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.may(request, "renew_qr")

    def has_reset_account_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.may(request, "reset_account")

    def has_invite_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        """The address opens a page with the code, so it is for who may see codes."""
        return self.may(request, "add_linkinvitation") and self.may(request, "see_codes")

    @dialog_action(
        gettext_lazy("New QR code"),
        permission="renew_qr",
        form=RenewForm,
        icon="qr_code_2",
        variant=ActionVariant.PRIMARY,
        consequence=gettext_lazy(
            "Ends an attempt that waits for its scan and begins a new one. The old code stops. If the account is "
            "disconnected, it ends the old link and unlinks that device: the phone must scan again."
        ),
    )
    def renew_qr(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        account = self.find(request, object_id)
        with self.told(request, attempts.PairingRefused):
            session = attempts.start(
                account.pk,
                trigger="admin",
                actor=actor_of(request),
                reason=form.cleaned_data["reason"],
                may=May.OVERRIDE if form.cleaned_data.get("risk") else May.RENEW,
            )
            comes = _("A new QR code is on its way to the linking page.")
            said = waiting_line.place_in_words(session) if session.waits_in_line else comes
            self.message_user(request, said, messages.SUCCESS)
        return done(request, page_of_row(account))

    @dialog_action(
        gettext_lazy("Force reset"),
        permission="reset_account",
        form=ReasonForm,
        icon="restart_alt",
        variant=ActionVariant.DANGER,
        consequence=gettext_lazy(
            "Ends the current session, revokes open invitations, asks the bridge to unlink the device."
        ),
    )
    def force_reset(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        account = self.find(request, object_id)
        attempts.force_reset(account.pk, actor=actor_of(request), reason=form.cleaned_data["reason"])
        self.message_user(request, _("The account was reset. Invite again, or order a new QR code."), messages.SUCCESS)
        return done(request, page_of_row(account))

    @dialog_action(
        gettext_lazy("Send test message"),
        permission="renew_qr",
        form=TestMessageForm,
        icon="send",
        consequence=gettext_lazy(
            "Sends one real WhatsApp message from this account, to prove that the link works. Whoever has that number "
            "sees it. What became of it stands on the account's page."
        ),
    )
    def send_test_message(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        account, number = self.find(request, object_id), form.cleaned_data["phone_number"]
        with self.told(request, link_probe.SendRefused, _("The test message is on its way.")):
            link_probe.send_test_message(account.pk, phone_number=number, actor=actor_of(request))
        return done(request, page_of_row(account))

    @dialog_action(
        gettext_lazy("Move"),
        permission="reset_account",
        form=MoveForm,
        icon="move_down",
        consequence=gettext_lazy(
            "Lets another bridge run this link. Until it does, the account is disconnected. With the login, the old "
            "bridge stops it first: two at once would get the phone logged out."
        ),
    )
    def move(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        account, asked = self.find(request, object_id), form.cleaned_data
        has_login, actor = asked["has_login"] == "yes", actor_of(request)
        said = _("The account is being moved. Its history says how far it is.")
        with self.told(request, (relocation.MoveRefused, attempts.PairingRefused), said):
            relocation.move(account.pk, asked["bridge"], actor=actor, reason=asked["reason"], has_login=has_login)
        return done(request, page_of_row(account))

    @dialog_action(
        gettext_lazy("Invite"),
        permission="invite",
        icon="link",
        consequence=gettext_lazy(
            "Makes the address of a linking page for this account. Whoever has it can link a phone. It is shown once."
        ),
    )
    def invite(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        account = self.find(request, object_id)
        address = LinkInvitation.issue(account, created_by=actor_of(request))
        note = _("Send it to the person who holds the phone. It cannot be shown again.")
        return show_once(request, title=_("Linking page"), note=note, secret=address, url=page_of_row(account))
