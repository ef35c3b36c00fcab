"""The last losses of each link, the notices of an account, and history rows that stand for many losses."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

KINDS = [
    ("flapping", "lost again and again"),
    ("time_lock", "may not write to new people for some time"),
    ("chat_cap", "may begin only so many chats"),
    ("send_refused", "a message was refused (463)"),
    ("restricted", "restricted by WhatsApp"),
]
ID = models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0021_refused_starts"),
    ]

    operations = [
        migrations.AddField(
            model_name="linksession",
            name="last_lost_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="linksession",
            name="quick_losses",
            field=models.PositiveIntegerField(default=0, editable=False),
        ),
        migrations.AddField(
            model_name="transition",
            name="began_at",
            field=models.DateTimeField(null=True, verbose_name="began"),
        ),
        migrations.AddField(
            model_name="transition",
            name="losses",
            field=models.PositiveIntegerField(default=0, verbose_name="losses"),
        ),
        migrations.CreateModel(
            name="LinkLoss",
            fields=[
                ("id", ID.clone()),
                ("at", models.DateTimeField(verbose_name="when")),
                ("said", models.CharField(blank=True, default="", max_length=191, verbose_name="reason")),
                (
                    "session",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="losses",
                        to="accounts.linksession",
                        verbose_name="session",
                    ),
                ),
            ],
            options={"verbose_name": "loss of a link", "verbose_name_plural": "losses of links"},
        ),
        migrations.CreateModel(
            name="AccountNotice",
            fields=[
                ("id", ID.clone()),
                ("kind", models.CharField(choices=KINDS, max_length=16, verbose_name="kind")),
                ("text", models.CharField(blank=True, default="", max_length=300, verbose_name="what was said")),
                ("count", models.PositiveIntegerField(default=1, verbose_name="times")),
                ("since", models.DateTimeField(default=django.utils.timezone.now, verbose_name="since")),
                ("last_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="last told")),
                ("until", models.DateTimeField(null=True, verbose_name="until")),
                (
                    "account",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notices",
                        to="accounts.account",
                        verbose_name="account",
                    ),
                ),
                (
                    "session",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.linksession",
                        verbose_name="session",
                    ),
                ),
            ],
            options={
                "verbose_name": "notice",
                "verbose_name_plural": "notices",
                "constraints": [models.UniqueConstraint(fields=("account", "kind"), name="one_notice_per_kind")],
            },
        ),
    ]
