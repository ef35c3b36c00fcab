"""One table, with the unique key that makes a message that comes twice one row."""

from django.db import models


class PeerMessage(models.Model):
    objects: "models.Manager[PeerMessage]" = models.Manager()

    session_id = models.CharField(max_length=191)
    message_id = models.CharField(max_length=255)
    sender = models.CharField(max_length=255)
    body = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        app_label = "peers"
        constraints = [models.UniqueConstraint(fields=["session_id", "message_id"], name="one_peer_message")]
