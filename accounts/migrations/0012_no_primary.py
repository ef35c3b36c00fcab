from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0011_link_moves"),
    ]

    operations = [
        migrations.RemoveField(model_name="account", name="is_primary"),
    ]
