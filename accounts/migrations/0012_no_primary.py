from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_rival_seen_at"),
    ]

    operations = [
        migrations.RemoveField(model_name="account", name="is_primary"),
    ]
