"""Processes of a bridge get a table; until now the notes of reconciles and the inbox told of them.

The way back writes the notes again that the older code searches. What the inbox no longer holds it cannot bring back.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models import Max, Min

import accounts.fields

REPLACED = re.compile(r"process (.{1,64}?) was replaced by (.{1,64}?)\.(?: |$)")
LEAVING = "It says that it is shutting down."
SIGNS = {"several": "Different processes answer.", "came_back": "Sessions came back that nobody had started."}

Key = tuple[int, str]  # bridge and boot


class Known:
    """The processes that are to be written, each once."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.rows: dict[Key, Any] = {}

    def seen(self, bridge_id: int, boot: str, first: datetime, last: datetime) -> Any:
        new = self.model(bridge_id=bridge_id, boot=boot, first_seen_at=first, last_seen_at=last)
        row = self.rows.setdefault((bridge_id, boot), new)
        row.first_seen_at, row.last_seen_at = min(row.first_seen_at, first), max(row.last_seen_at, last)
        return row


def fill(apps: Any, schema_editor: Any) -> None:
    process = apps.get_model("accounts", "BridgeProcess")
    known = Known(process)
    _of_bridges(apps, known)
    _of_notes(apps, known)
    told = list(_of_inbox(apps, known))
    told = [*_of_sessions(apps, known, told), *told]  # the inbox has forgotten these, so they are older
    process.objects.bulk_create(known.rows.values(), batch_size=500)
    keys = {(bridge_id, boot): pk for pk, bridge_id, boot in process.objects.values_list("pk", "bridge_id", "boot")}
    mention = process.told_of.through
    rows = [mention(bridgeprocess_id=keys[bridge_id, boot], linksession_id=pk) for pk, bridge_id, boot in told]
    mention.objects.bulk_create(rows, batch_size=500)
    _signs_and_leaving(apps)


def _of_bridges(apps: Any, known: Known) -> None:
    for bridge in apps.get_model("accounts", "Bridge").objects.exclude(boot=""):
        first = bridge.booted_at or bridge.created_at
        known.seen(bridge.pk, bridge.boot, first, max(first, bridge.last_heard_at or first))


def _of_notes(apps: Any, known: Known) -> None:
    runs = apps.get_model("accounts", "ReconcileRun").objects.filter(note__contains=" was replaced by ")
    for bridge_id, at, note in runs.order_by("pk").values_list("bridge_id", "at", "note"):
        for gone, by in REPLACED.findall(note):
            before, after = (known.seen(bridge_id, boot, at, at) for boot in (gone, by))
            before.first_replaced_at, before.replaced_at = before.first_replaced_at or at, at
            after.took_over_at = at


def _of_inbox(apps: Any, known: Known) -> Iterator[tuple[int, str, str]]:
    """Session, bridge and boot, in the order in which they first came together."""
    events = apps.get_model("webhooks", "WebhookEvent").objects.exclude(boot="")
    said = events.values_list("session_id", "bridge_id", "boot")
    spans = said.annotate(number=Min("pk"), first=Min("received_at"), last=Max("received_at")).order_by("number")
    for session_id, bridge_id, boot, _number, first, last in spans:
        known.seen(bridge_id, boot, first, last)
        yield session_id, bridge_id, boot


def _of_sessions(apps: Any, known: Known, told: list[Any]) -> Iterator[tuple[int, int, str]]:
    """Sessions whose newest event is no longer in the inbox. A session that was moved since has it from another bridge."""
    there, boots = set(told), {boot for _bridge_id, boot in known.rows}
    sessions = apps.get_model("accounts", "LinkSession").objects.exclude(applied_boot="").order_by("pk")
    for pk, bridge_id, boot, at in sessions.values_list("pk", "bridge_id", "applied_boot", "started_at"):
        is_of_another = boot in boots and (bridge_id, boot) not in known.rows
        if (pk, bridge_id, boot) not in there and not is_of_another:
            known.seen(bridge_id, boot, at, at)
            yield pk, bridge_id, boot


def _signs_and_leaving(apps: Any) -> None:
    runs = apps.get_model("accounts", "ReconcileRun").objects.all()
    for sign, text in SIGNS.items():
        runs.filter(note__contains=text).update(sign=sign)
    for bridge in apps.get_model("accounts", "Bridge").objects.filter(says_draining=True):
        said = runs.filter(bridge=bridge, note__startswith=LEAVING).order_by("-pk").first()
        if said is not None:
            bridge.says_draining_since = said.at
            bridge.save(update_fields=["says_draining_since"])


def restore(apps: Any, schema_editor: Any) -> None:
    runs = apps.get_model("accounts", "ReconcileRun").objects
    for sign, text in SIGNS.items():
        for run in runs.filter(sign=sign).exclude(note__contains=text):
            run.note = f"{text} {run.note}"[:300].strip()
            run.save(update_fields=["note"])
    for bridge in apps.get_model("accounts", "Bridge").objects.all():
        since = bridge.says_draining_since if bridge.says_draining else None
        if since and not runs.filter(bridge=bridge, at__gte=since, note__startswith=LEAVING).exists():
            runs.create(bridge=bridge, at=since, note=LEAVING)
        rows = list(apps.get_model("accounts", "BridgeProcess").objects.filter(bridge=bridge))
        _notes_again(runs.filter(bridge=bridge), bridge.pk, rows)


def _notes_again(runs: Any, bridge_id: int, rows: list[Any]) -> None:
    """From the first that is missing on all that followed: the older code goes by the order of the notes' ids."""
    is_missing = False
    for at, gone, by in sorted(_replacements(rows)):
        text = f"process {gone} was replaced by {by}."
        is_missing = is_missing or not runs.filter(at__gte=at, note__contains=text).exists()
        if is_missing:
            runs.create(bridge_id=bridge_id, at=at, note=f"Started anew: {text}")


def _replacements(rows: list[Any]) -> set[tuple[datetime, str, str]]:
    """When, who, and by whom. Of a process that was replaced several times the first and the last are known."""
    found = set()
    gone = [(at, row.boot) for row in rows for at in {row.first_replaced_at, row.replaced_at} if at]
    came = [(row.took_over_at, row.boot) for row in rows if row.took_over_at]
    for at, boot in gone:
        later = [(moment, other) for moment, other in came if moment >= at and other != boot]
        found |= {(at, boot, min(later)[1])} if later else set()
    for at, boot in came:
        earlier = [(moment, other) for moment, other in gone if moment <= at and other != boot]
        found |= {(at, max(earlier)[1], boot)} if earlier else set()
    return found


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0008_order_moves"),
        ("webhooks", "0002_reports_and_unsigned_traffic"),
    ]

    operations = [
        migrations.AddField(
            model_name="bridge",
            name="says_draining_since",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AddField(
            model_name="reconcilerun",
            name="sign",
            field=models.CharField(
                blank=True,
                choices=[("several", "several"), ("came_back", "came back")],
                default="",
                editable=False,
                max_length=10,
            ),
        ),
        migrations.CreateModel(
            name="BridgeProcess",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("boot", accounts.fields.ExactCharField(max_length=64, verbose_name="process")),
                ("first_seen_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="first seen")),
                ("last_seen_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="last seen")),
                ("took_over_at", models.DateTimeField(null=True, verbose_name="took over")),
                ("first_replaced_at", models.DateTimeField(null=True, verbose_name="first replaced")),
                ("replaced_at", models.DateTimeField(null=True, verbose_name="replaced")),
                (
                    "bridge",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="processes",
                        to="accounts.bridge",
                        verbose_name="bridge",
                    ),
                ),
            ],
            options={
                "verbose_name": "bridge process",
                "verbose_name_plural": "bridge processes",
                "constraints": [models.UniqueConstraint(fields=("bridge", "boot"), name="one_process_per_boot")],
            },
        ),
        migrations.AddField(
            model_name="bridgeprocess",
            name="told_of",
            field=models.ManyToManyField(editable=False, related_name="+", to="accounts.linksession"),
        ),
        migrations.RunPython(fill, restore),
    ]
