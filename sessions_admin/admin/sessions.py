"""Link sessions, their relocations to other bridges, the history of accounts, and invitations."""

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.models import LinkInvitation, LinkMove, LinkSession, Transition
from sessions_admin import display, labels
from sessions_admin.admin.base import ActionVariant, DialogForm, ReadOnlyAdmin, age_of, dialog_action, done
from sessions_admin.admin.filters import TriggerFilter
from sessions_admin.admin.phone_search import of_account
from sessions_admin.visibility import page_of_row


@admin.register(LinkSession)
class LinkSessionAdmin(ReadOnlyAdmin):
    """Facts that the domain writes. The QR code and the pairing code are secrets of the linking page."""

    list_display = ["session_id", "account", "state", "bridge", "started", "qr_count", "why"]
    list_select_related = ["account", "bridge"]
    list_filter = ["end_reason", "bridge"]
    linked_by = ("account__id__exact",)
    search_fields = ["session_id", "account__label", "account__phone_number", "device_jid"]
    search_help_text = gettext_lazy("Session id, account, phone number or device")
    phone_columns = of_account("account__")
    ordering = ["-pk"]
    fieldsets = [
        (None, {"fields": ["session_id", "account", "bridge", "started_by", "end_reason", "end_detail"]}),
        (
            gettext_lazy("When"),
            {
                "fields": [
                    "started_at",
                    "first_qr_at",
                    "qr_count",
                    "unreadable_codes",
                    "authenticated_at",
                    "connected_at",
                    "last_seen_at",
                    "ended_at",
                    "device_conflict_at",
                ]
            },
        ),
        (gettext_lazy("Device"), {"fields": ["device_jid", "platform", "reported_phone", "action_message"]}),
    ]

    @admin.display(description=gettext_lazy("state"), ordering="ended_at")
    def state(self, session: LinkSession) -> SafeString:
        if not session.is_open:
            return display.dot("muted", _("ended"))
        return display.dot("good", _("linked")) if session.ever_linked else display.dot("accent", _("linking"))

    started = age_of("started_at", gettext_lazy("started"))

    @admin.display(description=gettext_lazy("end reason"), ordering="end_reason")
    def why(self, session: LinkSession) -> str:
        return display.reason(session.end_reason) or "–"


@admin.register(LinkMove)
class LinkMoveAdmin(ReadOnlyAdmin):
    list_display = ["session", "from_bridge", "to_bridge", "status", "actor", "started"]
    list_select_related = ["session", "from_bridge", "to_bridge", "actor"]
    list_filter = ["state"]
    search_fields = ["session__session_id", "session__account__label", "session__account__phone_number", "reason"]
    search_help_text = gettext_lazy("Session id, account, phone number or reason")
    phone_columns = of_account("session__account__")
    ordering = ["-pk"]
    fields = ["session", "from_bridge", "to_bridge", "state", "state_changed_at", "started_at", "actor", "reason"]

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def status(self, move: LinkMove) -> SafeString:
        return display.dot(display.MOVE_TONES[move.state], move.get_state_display())

    started = age_of("started_at", gettext_lazy("started"))


@admin.register(Transition)
class TransitionAdmin(ReadOnlyAdmin):
    list_display = ["created", "account", "was", "became", "moved_by", "actor", "why"]
    list_select_related = ["account", "actor"]
    list_filter = ["new", ("trigger", TriggerFilter)]
    linked_by = ("account__id__exact",)
    search_fields = ["account__label", "account__phone_number", "session__session_id", "reason", "trigger"]
    search_help_text = gettext_lazy("Account, phone number, session id, trigger or reason")
    phone_columns = of_account("account__")
    fields = ["created_at", "account", "session", "old", "new", "trigger", "actor", "reason"]
    fields += ["losses", "began_at"]

    @admin.display(description=gettext_lazy("when"), ordering="created_at")
    def created(self, row: Transition) -> SafeString:
        return display.when(row.created_at)

    @admin.display(description=gettext_lazy("from"), ordering="old")
    def was(self, row: Transition) -> SafeString:
        return display.status(row.old)

    @admin.display(description=gettext_lazy("to"), ordering="new")
    def became(self, row: Transition) -> SafeString:
        return display.status(row.new)

    @admin.display(description=gettext_lazy("trigger"), ordering="trigger")
    def moved_by(self, row: Transition) -> str:
        return labels.trigger(row.trigger)

    @admin.display(description=gettext_lazy("reason"))
    def why(self, row: Transition) -> str:
        return display.happened(row) or "–"


@admin.register(LinkInvitation)
class LinkInvitationAdmin(ReadOnlyAdmin):
    """Made by "Invite" on an account, where its address is shown once; here it can be revoked."""

    list_display = ["number", "account", "state", "created_by", "created_at", "expires_at"]
    list_select_related = ["account", "created_by"]
    list_filter = [("revoked_at", admin.EmptyFieldListFilter)]
    linked_by = ("account__id__exact",)
    search_fields = ["account__label", "account__phone_number", "created_by__username"]
    search_help_text = gettext_lazy("Account, phone number or who made it")
    phone_columns = of_account("account__")
    ordering = ["-pk"]
    fields = ["account", "created_by", "created_at", "expires_at", "revoked_at"]
    actions_detail = ["revoke"]

    @admin.display(description=gettext_lazy("invitation"), ordering="pk")
    def number(self, invitation: LinkInvitation) -> str:
        return f"#{invitation.pk}"

    @admin.display(description=gettext_lazy("state"))
    def state(self, invitation: LinkInvitation) -> SafeString:
        if invitation.revoked_at:
            return display.dot("bad", _("revoked"))
        return display.dot("good", _("open")) if invitation.is_usable else display.dot("muted", _("expired"))

    def has_revoke_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.may(request, "change_linkinvitation")

    @dialog_action(
        gettext_lazy("Revoke"),
        permission="revoke",
        icon="link_off",
        variant=ActionVariant.DANGER,
        consequence=gettext_lazy("The linking page of this invitation stops working at once."),
    )
    def revoke(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        invitation = self.find(request, object_id)
        invitation.revoke()
        self.message_user(request, _("The invitation was revoked."), messages.SUCCESS)
        return done(request, page_of_row(invitation))
