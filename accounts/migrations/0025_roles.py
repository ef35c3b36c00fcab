"""The roles, as groups; and nobody who is staff already loses what they could see or do."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

from accounts.access import roles

APPS = ("accounts", "api", "webhooks")
# The permission on the left is new. Whoever had one of those on the right could do this before. Who may change a row may see it;
# events of the inbox hold the texts of messages too.
SPLIT = {
    "see_codes": ["view_account"],
    "read_bodies": ["view_message", "change_message", "view_webhookevent", "change_webhookevent"],
}


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
    Group = apps.get_model("auth", "Group")
    ours = [group.pk for group in Group.objects.filter(name__in=roles.GRANTED) if is_role(group)]
    for needed, had in SPLIT.items():
        new = Permission.objects.get(content_type__app_label="accounts", codename=needed)
        old = Permission.objects.filter(content_type__app_label__in=APPS, codename__in=had)
        for user in User.objects.filter(user_permissions__in=old).distinct():
            user.user_permissions.add(new)
        for group in Group.objects.filter(permissions__in=old).exclude(pk__in=ours).distinct():
            group.permissions.add(new)


def is_role(group):
    """Whether it is as this migration makes it, which ran before and was taken back: the way back leaves the roles."""
    granted = group.permissions.values_list("content_type__app_label", "codename")
    return {".".join(names) for names in granted} == set(roles.permissions_of(group.name))


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
