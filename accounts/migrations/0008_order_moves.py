"""The last problem of an order as a code. Before, programs read it from the text that people see."""

from django.db import migrations, models

DIED = "the worker died with it"  # how the text of a dead worker begins


def read_from_text(apps, schema_editor):
    orders = apps.get_model("accounts", "BridgeOrder").objects.using(schema_editor.connection.alias)
    orders.filter(error__startswith=DIED).update(setback="worker_died")
    orders.exclude(error="").exclude(error__startswith=DIED).update(setback="try_failed")


def write_into_text(apps, schema_editor):
    """The code before tells the two apart by the text alone, which may read otherwise by now."""
    orders = apps.get_model("accounts", "BridgeOrder").objects.using(schema_editor.connection.alias)
    orders.filter(setback="worker_died").exclude(error__startswith=DIED).update(error=DIED)
    orders.filter(setback="").exclude(error="").update(error="")


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0007_rival_seen_at"),
    ]

    operations = [
        migrations.AddField(
            model_name="bridgeorder",
            name="setback",
            field=models.CharField(
                blank=True,
                choices=[("", "None"), ("worker_died", "Worker Died"), ("try_failed", "Try Failed")],
                default="",
                editable=False,
                max_length=12,
            ),
        ),
        migrations.RunPython(read_from_text, write_into_text),
    ]
