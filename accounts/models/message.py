"""A chat message that a bridge delivered, with the highest ack it reached."""

from collections.abc import Iterable

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.fields import ExactCharField


class Message(models.Model):
    class Chat(models.TextChoices):
        PRIVATE = "private", _("private")
        GROUP = "group", _("group")
        STATUS = "status", _("status")
        NEWSLETTER = "newsletter", _("newsletter")
        BROADCAST = "broadcast", _("broadcast list")

    session = models.ForeignKey(
        "accounts.LinkSession", models.CASCADE, related_name="messages", verbose_name=_("session")
    )
    message_id = ExactCharField(_("message id"), max_length=255)
    # False while only an ack, an edit or a revoke has come: they overtake their message.
    delivered = models.BooleanField(default=False, editable=False)
    from_me = models.BooleanField(_("from us"), default=False)
    chat_type = models.CharField(_("chat type"), max_length=16, choices=Chat.choices, blank=True, default="")
    sender = models.CharField(_("from"), max_length=255, blank=True, default="")
    recipient = models.CharField(_("to"), max_length=255, blank=True, default="")
    body = models.TextField(_("text"), blank=True, default="")  # of the newest edit, if it was edited
    type = models.CharField(_("type"), max_length=40, blank=True, default="")
    sent_at = models.DateTimeField(_("sent"), null=True)
    edited_at = models.DateTimeField(_("edited"), null=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True)
    has_media = models.BooleanField(_("has media"), default=False)
    media = models.FileField(_("media"), max_length=255, blank=True, default="")
    media_type = models.CharField(_("media type"), max_length=127, blank=True, default="")
    media_name = models.CharField(_("file name"), max_length=255, blank=True, default="")
    group = models.JSONField(_("group"), default=dict, blank=True)
    # WhatsApp's ack, -1..4; the bridge's words for it are one step behind.
    ack_level = models.SmallIntegerField(_("ack"), null=True)
    # The names of its fields whose values were not taken as they came (webhooks/events/fields.py).
    emptied = models.CharField(_("not readable"), max_length=500, blank=True, default="")
    created_at = models.DateTimeField(_("received"), default=timezone.now)

    class Meta:
        db_table = "whatsapp_messages"
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        permissions = [("read_bodies", "Can read the text of messages")]
        constraints = [models.UniqueConstraint(fields=["session", "message_id"], name="one_message_per_session_and_id")]
        indexes = [models.Index(fields=["session", "-sent_at"])]

    def __str__(self) -> str:
        return f"message {self.pk}"

    @classmethod
    def chat_of(cls, *ids: str, told: str = "") -> str:
        """The kind of chat that these ids of chats and messages name, as a message's id holds that of its chat; else
        the kind that was `told`; empty if none is known. Ids of people name a private chat only where nothing more is
        told: they write in groups too."""
        word = told.strip().casefold()
        return (
            _marked(_CHATS, ids)
            or _WORDS.get(word)
            or _marked(_PEOPLE, ids)
            or (word if word == cls.Chat.PRIVATE else "")
        )

    @property
    def author(self) -> str:
        """The author in a group, or of a status: the name and number that the bridge gave, or else the last part of
        the message's id."""
        told = [self.group.get("sender_name"), self.group.get("sender_phone")]
        *_chat, last = str(self.message_id).split("_")
        return " ".join(str(part) for part in told if part) or (last if len(_chat) == 3 else "")


def _marked(marks: dict[str, Message.Chat], ids: Iterable[str]) -> str:
    lower = [given.casefold() for given in ids]
    return next((kind for mark, kind in marks.items() if any(mark in given for given in lower)), "")


# The id of a chat contains one of these. If it contains several, the first one here counts.
_CHATS = {
    "status@broadcast": Message.Chat.STATUS,
    "@newsletter": Message.Chat.NEWSLETTER,
    "@broadcast": Message.Chat.BROADCAST,
    "@g.us": Message.Chat.GROUP,
}
_PEOPLE = dict.fromkeys(("@c.us", "@s.whatsapp.net", "@lid"), Message.Chat.PRIVATE)
# What a bridge calls a chat. That it is private is believed least: a Node bridge calls all but groups so.
_WORDS = {
    "group": Message.Chat.GROUP,
    "status": Message.Chat.STATUS,
    "newsletter": Message.Chat.NEWSLETTER,
    "channel": Message.Chat.NEWSLETTER,
}
