"""Which version of the signature a bridge has shown, and the number of its last heartbeat."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0018_kinds_of_chats")]

    operations = [
        migrations.AddField(
            model_name="bridge",
            name="version_2_since",
            field=models.DateTimeField(blank=True, editable=False, null=True, verbose_name="signs by version 2 since"),
        ),
        migrations.AddField(
            model_name="bridgeprocess",
            name="heartbeat_sequence",
            field=models.PositiveBigIntegerField(editable=False, null=True),
        ),
    ]
