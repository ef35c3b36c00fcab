"""A chat message that a bridge delivered, with the highest ack it reached."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.fields import ExactCharField


class Message(models.Model):
    session = models.ForeignKey(
        "accounts.LinkSession", models.CASCADE, related_name="messages", verbose_name=_("session")
    )
    message_id = ExactCharField(_("message id"), max_length=255)
    # False while only an ack has come: acks overtake their message.
    delivered = models.BooleanField(default=False, editable=False)
    from_me = models.BooleanField(_("from us"), default=False)
    chat_type = models.CharField(_("chat type"), max_length=16, blank=True, default="")
    sender = models.CharField(_("from"), max_length=255, blank=True, default="")
    recipient = models.CharField(_("to"), max_length=255, blank=True, default="")
    body = models.TextField(_("text"), blank=True, default="")
    type = models.CharField(_("type"), max_length=40, blank=True, default="")
    sent_at = models.DateTimeField(_("sent"), null=True)
    has_media = models.BooleanField(_("has media"), default=False)
    media = models.FileField(_("media"), max_length=255, blank=True, default="")
    media_type = models.CharField(_("media type"), max_length=127, blank=True, default="")
    media_name = models.CharField(_("file name"), max_length=255, blank=True, default="")
    group = models.JSONField(_("group"), default=dict, blank=True)
    # WhatsApp's ack, -1..4; the bridge's words for it are one step behind.
    ack_level = models.SmallIntegerField(_("ack"), null=True)
    created_at = models.DateTimeField(_("received"), default=timezone.now)

    class Meta:
        db_table = "whatsapp_messages"
        verbose_name = _("message")
        verbose_name_plural = _("messages")
        constraints = [models.UniqueConstraint(fields=["session", "message_id"], name="one_message_per_session_and_id")]
        indexes = [models.Index(fields=["session", "-sent_at"])]

    def __str__(self) -> str:
        return f"message {self.pk}"
