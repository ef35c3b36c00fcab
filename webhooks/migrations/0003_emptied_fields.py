from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("webhooks", "0002_reports_and_unsigned_traffic"),
    ]

    operations = [
        migrations.AddField(
            model_name="webhookevent",
            name="emptied",
            field=models.CharField(blank=True, default="", max_length=500, verbose_name="not readable"),
        ),
    ]
