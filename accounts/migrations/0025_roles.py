"""The roles, as groups; and nobody who is staff already loses what they could see or do."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

from accounts.access import roles

APPS = ("accounts", "api", "webhooks")
# What one could do with the permission on the left takes the one on the right from now on.
SPLIT = {"view_account": "see_codes", "view_message": "read_bodies"}


def make_permissions(apps):
    """Django makes them after all migrations, which is too late here."""
    for label in APPS:
        config = apps.get_app_config(label)
        config.models_module = True
        create_permissions(config, apps=apps, verbosity=0)
        config.models_module = None


def keep_access(apps, schema_editor):
    """Before the roles are made: groups that have their names may be there."""
    make_permissions(apps)
    User, Permission = apps.get_model("accounts", "User"), apps.get_model("auth", "Permission")
    User.objects.filter(is_staff=True).update(all_workspaces=True)
    for had, needed in SPLIT.items():
        old = Permission.objects.get(content_type__app_label="accounts", codename=had)
        new = Permission.objects.get(content_type__app_label="accounts", codename=needed)
        for user in User.objects.filter(user_permissions=old):
            user.user_permissions.add(new)
        for group in apps.get_model("auth", "Group").objects.filter(permissions=old):
            group.permissions.add(new)


def make_roles(apps, schema_editor):
    Group, Permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for role in roles.GRANTED:
        group, is_new = Group.objects.get_or_create(name=role)
        if is_new:  # a group of that name that was there before keeps what it grants
            for name in roles.permissions_of(role):
                app, code = name.split(".")
                # One that the table got later is not there yet: the migration that makes it grants it.
                group.permissions.add(*Permission.objects.filter(content_type__app_label=app, codename=code))


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0024_access"),
        ("api", "0003_token_scopes"),
        ("webhooks", "0004_signed_requests"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.RunPython(keep_access, migrations.RunPython.noop),
        migrations.RunPython(make_roles, migrations.RunPython.noop),
    ]
