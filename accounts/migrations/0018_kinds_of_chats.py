"""Statuses and newsletters were stored as private chats, as the bridge calls them; on the way back they are again."""

from django.db import migrations
from django.db.models import Q

STATUS = Q(sender="status@broadcast") | Q(recipient="status@broadcast")
NEWSLETTER = Q(sender__endswith="@newsletter") | Q(recipient__endswith="@newsletter")


def name_kinds(apps, schema_editor):
    messages = apps.get_model("accounts", "Message").objects
    messages.filter(STATUS).update(chat_type="status")
    messages.filter(NEWSLETTER).update(chat_type="newsletter")


def call_private(apps, schema_editor):
    messages = apps.get_model("accounts", "Message").objects
    messages.filter(chat_type__in=["status", "newsletter"]).update(chat_type="private")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0017_whole_events"),
    ]

    operations = [
        migrations.RunPython(name_kinds, call_private),
    ]
