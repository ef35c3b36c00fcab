import django.db.models.deletion
from django.db import migrations, models

import accounts.models.workspace


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0012_no_primary"),
    ]

    operations = [
        migrations.AddField(
            model_name="account",
            name="phone_key",
            field=models.CharField(editable=False, max_length=15, null=True),
        ),
        migrations.AddField(
            model_name="account",
            name="new_phone",
            field=models.CharField(
                blank=True, default="", editable=False, max_length=15, verbose_name="new number"
            ),
        ),
        migrations.AddField(
            model_name="account",
            name="new_phone_key",
            field=models.CharField(blank=True, default="", editable=False, max_length=15),
        ),
        migrations.AddField(
            model_name="account",
            name="twin_of",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="twins",
                to="accounts.account",
                verbose_name="twin of",
            ),
        ),
        migrations.AddField(
            model_name="linksession",
            name="number_unclear_at",
            field=models.DateTimeField(editable=False, null=True, verbose_name="number unclear since"),
        ),
        migrations.AddField(
            model_name="straysession",
            name="phone_key",
            field=models.CharField(blank=True, default="", editable=False, max_length=15),
        ),
        migrations.AddField(
            model_name="workspace",
            name="country",
            field=models.CharField(
                blank=True,
                default=accounts.models.workspace.default_country,
                max_length=2,
                validators=[accounts.models.workspace.is_country],
                verbose_name="country",
            ),
        ),
    ]
