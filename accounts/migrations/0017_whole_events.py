from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0016_number_lookups"),
    ]

    operations = [
        migrations.AddField(
            model_name="linksession",
            name="unreadable_codes",
            field=models.PositiveIntegerField(default=0, verbose_name="codes that could not be shown"),
        ),
        migrations.AddField(
            model_name="message",
            name="edited_at",
            field=models.DateTimeField(null=True, verbose_name="edited"),
        ),
        migrations.AddField(
            model_name="message",
            name="revoked_at",
            field=models.DateTimeField(null=True, verbose_name="revoked"),
        ),
        migrations.AddField(
            model_name="message",
            name="emptied",
            field=models.CharField(blank=True, default="", max_length=500, verbose_name="not readable"),
        ),
        migrations.AddField(
            model_name="workspace",
            name="keeps_statuses",
            field=models.BooleanField(default=True, verbose_name="keeps WhatsApp statuses"),
        ),
        migrations.AddField(
            model_name="workspace",
            name="keeps_newsletters",
            field=models.BooleanField(default=True, verbose_name="keeps newsletters"),
        ),
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
                ],
                default="",
                max_length=16,
                verbose_name="chat type",
            ),
        ),
    ]
