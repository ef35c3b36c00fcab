from django.db import migrations, models
from django.db.models import Case, F, When


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0014_fill_phone_keys"),
    ]

    operations = [
        migrations.RemoveConstraint(model_name="account", name="one_live_account_per_phone"),
        migrations.RemoveField(model_name="account", name="live_phone"),
        migrations.AddField(
            model_name="account",
            name="live_phone",
            field=models.GeneratedField(
                db_persist=False,
                expression=Case(When(deleted_at__isnull=True, twin_of__isnull=True, then=F("phone_key")), default=None),
                output_field=models.CharField(max_length=15, null=True),
            ),
        ),
        migrations.AddConstraint(
            model_name="account",
            constraint=models.UniqueConstraint(
                fields=("workspace", "live_phone"),
                name="one_live_account_per_phone",
                violation_error_message="Another account of this workspace already has this phone number.",
            ),
        ),
    ]
