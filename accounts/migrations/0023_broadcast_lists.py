"""Messages of broadcast lists were stored as private chats, as bridges call them. The way back stores them so again."""

from django.db import migrations, models
from django.db.models import Q

LIST = Q(sender__endswith="@broadcast") | Q(recipient__endswith="@broadcast")


def name_lists(apps, schema_editor):
    apps.get_model("accounts", "Message").objects.filter(LIST, chat_type="private").update(chat_type="broadcast")


def call_private(apps, schema_editor):
    apps.get_model("accounts", "Message").objects.filter(chat_type="broadcast").update(chat_type="private")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0022_losses_and_notices"),
    ]

    operations = [
        migrations.AlterField(
            model_name="message",
            name="chat_type",
            field=models.CharField(
                blank=True,
                choices=[
                    ("private", "private"),
                    ("group", "group"),
                    ("status", "status"),
                    ("newsletter", "newsletter"),
                    ("broadcast", "broadcast list"),
                ],
                default="",
                max_length=16,
                verbose_name="chat type",
            ),
        ),
        migrations.RunPython(name_lists, call_private),
    ]
