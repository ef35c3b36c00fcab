"""Why the last start of an account was refused, if no bridge could take it."""

from django.db import migrations, models

OBSTACLES = [
    ("no_bridge", "no bridge"),
    ("never_heard", "never heard of"),
    ("silent", "not heard of lately"),
    ("draining", "draining"),
    ("shutting_down", "is shutting down"),
    ("weight_0", "weight 0"),
    ("bad_version", "a version of its library that is known to be bad"),
    ("full", "full"),
    ("several", "several reasons"),
]


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0020_sign_differs"),
    ]

    operations = [
        migrations.AddField(
            model_name="account",
            name="refused_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="account",
            name="refused_because",
            field=models.CharField(blank=True, choices=OBSTACLES, default="", editable=False, max_length=16),
        ),
    ]
