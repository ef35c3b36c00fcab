from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0005_orders_admission_fleet"),
    ]

    operations = [
        migrations.AddField(
            model_name="bridge",
            name="says_draining",
            field=models.BooleanField(default=False, editable=False),
        ),
    ]
