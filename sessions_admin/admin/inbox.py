"""The admin of the inbox, of events that changed nothing, of refused requests, and of chat messages."""

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.access import bodies
from accounts.models import Message
from api.models import RateLimitCount
from sessions_admin import display
from sessions_admin.admin.base import CountedAdmin, DialogForm, age_of, dialog_action, done
from sessions_admin.admin.bodies import HoldsTexts
from sessions_admin.admin.filters import EventFilter, MessageTypeFilter
from sessions_admin.admin.phone_search import of_account
from sessions_admin.visibility import page_of_row
from webhooks.inbox import process
from webhooks.models import UnmatchedTraffic, WebhookEvent

State = WebhookEvent.State
# The message to a person who replays an event, by its state before and after.
WHY_NOT = {
    State.APPLIED: gettext_lazy("It was applied already, and an event is never applied twice."),
    State.IGNORED: gettext_lazy("It was looked at and moved nothing, for the reason given. There is nothing to mend."),
    State.RECEIVED: gettext_lazy("It is being worked on at this moment. Look again in a minute."),
}
BECAME = {
    State.APPLIED: (messages.SUCCESS, gettext_lazy("The event was applied.")),
    State.IGNORED: (messages.WARNING, gettext_lazy("The event moves nothing any more. Its reason says why.")),
    State.FAILED: (messages.ERROR, gettext_lazy("It failed again. It will be tried by itself, up to eight times.")),
}


@admin.register(WebhookEvent)
class WebhookEventAdmin(HoldsTexts):
    list_display = ["name", "status", "session", "bridge", "attempts", "received", "error"]
    list_select_related = ["session", "bridge"]
    list_filter = ["state", ("event", EventFilter), "bridge"]
    linked_by = ("session__id__exact",)
    search_fields = [
        "session__session_id",
        "session__account__label",
        "session__account__phone_number",
        "event",
        "event_id",
        "error",
    ]
    search_help_text = gettext_lazy("Session id, account, phone number, event, event id or problem")
    phone_columns = of_account("session__account__")
    ordering = ["-pk"]
    fields = ["event", "status", "reason", "error", "attempts", "due_at", "received_at", "finished_at"]
    fields += ["session", "bridge", "data", "emptied", "event_id", "boot", "sequence"]
    readonly_fields = ["status", "data"]
    actions_detail = ["read_body", "replay"]

    @admin.display(description=gettext_lazy("event"), ordering="event")
    def name(self, event: WebhookEvent) -> str:
        return f"{event.event} #{event.pk}"

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def status(self, event: WebhookEvent) -> SafeString:
        return display.dot(display.EVENT_TONES[event.state], event.get_state_display())

    received = age_of("received_at", gettext_lazy("received"))

    @admin.display(description=gettext_lazy("data"))
    def data(self, event: WebhookEvent) -> SafeString:
        return display.folded(bodies.masked(event.payload))

    def has_replay_permission(self, request: HttpRequest, object_id: str | None = None) -> bool:
        return self.may(request, "change_webhookevent")

    @dialog_action(
        gettext_lazy("Replay"),
        permission="replay",
        icon="replay",
        consequence=gettext_lazy(
            "Tries a failed or dead event again. What the account has been through since then is not taken back."
        ),
        own_transactions=True,  # the try is committed before the work
    )
    def replay(self, request: HttpRequest, form: DialogForm, object_id: str) -> HttpResponse:
        event = self.find(request, object_id)
        tried = process.retry(event.pk, anew=True)
        event.refresh_from_db()
        if tried:
            level, words = BECAME.get(event.state, (messages.WARNING, WHY_NOT[State.RECEIVED]))
            self.message_user(request, str(words), level)
        else:
            self.refuse(request, str(WHY_NOT.get(event.state, WHY_NOT[State.RECEIVED])))
        return done(request, page_of_row(event))


@admin.register(UnmatchedTraffic)
class UnmatchedTrafficAdmin(CountedAdmin):
    list_display = ["event", "reason", "session_id", "bridge", "seen", "last"]
    list_select_related = ["bridge"]
    list_filter = ["reason", "bridge"]
    search_fields = ["session_id", "event"]
    search_help_text = gettext_lazy("Session id or event")
    fields = ["event", "reason", "session_id", "bridge", "count", "first_at", "last_at", "replay"]
    readonly_fields = ["replay"]

    @admin.display(description=gettext_lazy("replay"))
    def replay(self, row: UnmatchedTraffic) -> str:
        return _("Not possible: such events are counted, not kept. They moved nothing and would move nothing now.")


@admin.register(RateLimitCount)
class RateLimitCountAdmin(CountedAdmin):
    list_display = ["name", "owner", "seen", "last"]
    list_filter = ["name"]
    search_fields = ["owner"]
    search_help_text = gettext_lazy("Whose, such as: workspace 3")


@admin.register(Message)
class MessageAdmin(HoldsTexts):
    list_display = ["message_id", "session", "chat_type", "from_me", "sender", "written_by", "recipient", "type"]
    list_display += ["changed", "ack_level", "received"]
    list_select_related = ["session"]
    list_filter = ["from_me", "chat_type", ("type", MessageTypeFilter), "has_media"]
    linked_by = ("session__id__exact",)
    # The text is not searched: chats are found by their people, and a table of millions is not read through.
    search_fields = [
        "message_id",
        "session__session_id",
        "session__account__label",
        "session__account__phone_number",
        "sender",
        "recipient",
    ]
    search_help_text = gettext_lazy("Message id, session id, account or phone number")
    phone_columns = of_account("session__account__")
    ordering = ["-pk"]
    fields = [
        "message_id",
        "session",
        "from_me",
        "chat_type",
        "sender",
        "written_by",
        "recipient",
        "type",
        "text",
        "sent_at",
        "edited_at",
        "revoked_at",
        "created_at",
        "ack_level",
        "has_media",
        "media_type",
        "file_name",
        "group",
        "emptied",
    ]
    readonly_fields = ["written_by", "text", "file_name"]
    actions_detail = ["read_body"]

    @admin.display(description=gettext_lazy("text"))
    def text(self, message: Message) -> str:
        return bodies.sign(message.body) or "–"

    @admin.display(description=gettext_lazy("file name"))
    def file_name(self, message: Message) -> str:
        return bodies.sign(message.media_name) or "–"

    @admin.display(description=gettext_lazy("author"))
    def written_by(self, message: Message) -> str:
        return message.author or "–"

    @admin.display(description=gettext_lazy("changed"))
    def changed(self, message: Message) -> str:
        if message.revoked_at:
            return _("revoked")
        return _("edited") if message.edited_at else "–"

    received = age_of("created_at", gettext_lazy("received"))
