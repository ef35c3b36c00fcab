from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0006_bridge_says_draining"),
    ]

    operations = [
        migrations.AddField(
            model_name="linksession",
            name="rival_seen_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
    ]
