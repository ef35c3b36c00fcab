"""Why a session ended or was lost, and when it was connected: in columns instead of sentences and history rows.

The way back has one thing to restore: the history and the sessions' own moments are written as before.
"""

from django.db import migrations, models
from django.db.models import Case, F, Max, Min, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce, Left

SHOWED_CODE = "It showed a QR code."  # what the code before this reads in end_detail
TOLD_BY_BRIDGE = ["session_disconnected", "mark_disconnected"]  # the triggers whose reason is the bridge's own


def fill_end_cause(apps, schema_editor):
    guessed = apps.get_model("accounts", "LinkSession").objects.filter(end_reason="logged_out", end_detail=SHOWED_CODE)
    guessed.update(end_cause="showed_code")


def restore_end_detail(apps, schema_editor):
    guessed = apps.get_model("accounts", "LinkSession").objects.filter(end_cause="showed_code")
    guessed.update(end_detail=SHOWED_CODE)


def fill_last_connected_at(apps, schema_editor):
    linked = apps.get_model("accounts", "LinkSession").objects.filter(connected_at__isnull=False)
    moves = apps.get_model("accounts", "Transition").objects.filter(session=OuterRef("pk"), new="connected")
    linked.update(last_connected_at=_of_all(moves.exclude(old="connected"), "session", Max("created_at")))


def fill_lost_reason(apps, schema_editor):
    """For what is lost at the moment; each later loss writes its own. A sentence of ours is no bridge's reason."""
    lost = apps.get_model("accounts", "Account").objects.filter(status="disconnected", current_session__isnull=False)
    sessions = apps.get_model("accounts", "LinkSession").objects.filter(pk__in=lost.values("current_session"))
    losses = apps.get_model("accounts", "Transition").objects.filter(account=OuterRef("account"), new="disconnected")
    said = Case(When(trigger__in=TOLD_BY_BRIDGE, then=Left("reason", 191)), default=Value(""))
    latest = losses.exclude(old="disconnected").order_by("-pk").annotate(said=said).values("said")[:1]
    sessions.update(lost_reason=Coalesce(Subquery(latest), Value("")))


def fill_first_linked_at(apps, schema_editor):
    """The history knows of links whose sessions are gone, and a session of links that were adopted."""
    accounts = apps.get_model("accounts", "Account").objects
    linked = apps.get_model("accounts", "LinkSession").objects.filter(account=OuterRef("pk"))
    accounts.update(first_linked_at=_of_all(linked, "account", Min("connected_at")))
    rows = apps.get_model("accounts", "Transition").objects.filter(account=OuterRef("pk"), new="connected")
    told = accounts.annotate(told=_of_all(rows, "account", Min("created_at"))).filter(told__isnull=False)
    earlier = told.filter(Q(first_linked_at__isnull=True) | Q(first_linked_at__gt=F("told")))
    earlier.update(first_linked_at=_of_all(rows, "account", Min("created_at")))


def _of_all(rows, key, aggregate):
    return Subquery(rows.order_by().values(key).annotate(found=aggregate).values("found"))


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0009_bridge_processes"),
    ]

    operations = [
        migrations.AddField(
            model_name="linksession",
            name="end_cause",
            field=models.CharField(
                blank=True, choices=[("showed_code", "a QR code alone")], default="", editable=False, max_length=20
            ),
        ),
        migrations.AddField(
            model_name="linksession",
            name="last_connected_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="linksession",
            name="lost_reason",
            field=models.CharField(blank=True, default="", editable=False, max_length=191),
        ),
        migrations.AddField(
            model_name="account",
            name="first_linked_at",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.RunPython(fill_end_cause, restore_end_detail),
        migrations.RunPython(fill_last_connected_at, migrations.RunPython.noop),
        migrations.RunPython(fill_lost_reason, migrations.RunPython.noop),
        migrations.RunPython(fill_first_linked_at, migrations.RunPython.noop),
    ]
