"""The key of each number. Where live accounts turn out to be one phone, one gets the key and the others are its twins."""

from collections import defaultdict
from typing import Any

from django.db import migrations

from accounts.numbering_plans import identity_key

FIRST = {"connected": 0, "authenticated": 1}


def fill(apps: Any, schema_editor: Any) -> None:
    models = apps.get_model("accounts", "Account").objects.using(schema_editor.connection.alias)
    same_phone = defaultdict(list)
    numbered = models.exclude(phone_number=None)
    columns = ("pk", "workspace_id", "phone_number", "status", "deleted_at")
    for pk, workspace, number, status, deleted_at in numbered.values_list(*columns).iterator():
        key = identity_key(number)
        models.filter(pk=pk).update(phone_key=key, twin_of=None)
        if deleted_at is None:
            same_phone[workspace, key].append((FIRST.get(status, 2), -pk))
    for accounts in same_phone.values():
        first, *twins = sorted(accounts)
        models.filter(pk__in=[-pk for _, pk in twins]).update(twin_of=-first[1])
    strays = apps.get_model("accounts", "StraySession").objects.using(schema_editor.connection.alias)
    for number in set(strays.exclude(phone_number="").values_list("phone_number", flat=True)):
        strays.filter(phone_number=number).update(phone_key=identity_key(number))


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0013_phone_keys"),
    ]

    operations = [
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
