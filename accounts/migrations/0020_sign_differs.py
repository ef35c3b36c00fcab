from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0019_signature_versions"),
    ]

    operations = [
        migrations.AlterField(
            model_name="reconcilerun",
            name="sign",
            field=models.CharField(
                blank=True,
                choices=[("several", "several"), ("came_back", "came back"), ("differs", "differs")],
                default="",
                editable=False,
                max_length=10,
            ),
        ),
    ]
