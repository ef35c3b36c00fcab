"""A move of a link to another bridge is a row. Until now it was read from the orders that staff had caused: a stop at
the bridge that had the session, and a start at the one that it went to."""

from datetime import timedelta
from itertools import groupby

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.utils import timezone

A_DAY = timedelta(days=1)  # nobody waits longer for the stop of a move
BATCH = 500


def moves_from_orders(apps, schema_editor):
    orders = apps.get_model("accounts", "BridgeOrder").objects.using(schema_editor.connection.alias)
    moves = apps.get_model("accounts", "LinkMove").objects.using(schema_editor.connection.alias)
    # Test messages that staff send, and the checks after an adoption, are of other kinds.
    ordered = orders.filter(why="staff", kind__in=["stop", "start"])
    moved = ordered.filter(kind="stop").values("session")
    rows = list(ordered.filter(session__in=moved).select_related("session").order_by("session_id", "pk"))
    made = []
    for _session, of_one in groupby(rows, key=lambda order: order.session_id):
        made += _moves_of(list(of_one), moves.model, orders)
    moves.bulk_create(made, batch_size=BATCH)
    ordered.update(why="move")


def _moves_of(rows, LinkMove, orders):
    """The moves of one session, from its orders in the order of their making."""
    stops = [order for order in rows if order.kind == "stop"]
    for stop, next_stop in zip(stops, [*stops[1:], None]):
        later = [order for order in rows if order.kind == "start" and order.pk > stop.pk]
        start = next((order for order in later if next_stop is None or order.pk < next_stop.pk), None)
        # Where the session was when the next move began, or is now.
        then = next_stop.bridge_id if next_stop else stop.session.bridge_id
        state = _state(stop, start, then, is_last=next_stop is None, orders=orders)
        to_bridge = start.bridge_id if start else then if then != stop.bridge_id else None
        yield LinkMove(
            session_id=stop.session_id,
            from_bridge_id=stop.bridge_id,
            to_bridge_id=to_bridge,
            stop_id=stop.pk,
            actor_id=stop.actor_id,
            state=state,
            started_at=stop.created_at,
            state_changed_at=start.created_at if start else stop.closed_at or stop.created_at,
        )


def _state(stop, start, then, *, is_last, orders):
    if start is not None:
        return "given_back" if then == stop.bridge_id != start.bridge_id else "started"
    if then == stop.bridge_id:
        return "given_up"
    opened = orders.filter(kind="start", session=stop.session_id, bridge=then, pk__gt=stop.pk)
    is_awaited = is_last and stop.created_at > timezone.now() - A_DAY and not opened.exists()
    return "waits_for_stop" if is_awaited else "lapsed"


def orders_from_moves(apps, schema_editor):
    orders = apps.get_model("accounts", "BridgeOrder").objects.using(schema_editor.connection.alias)
    moves = apps.get_model("accounts", "LinkMove").objects.using(schema_editor.connection.alias)
    orders.filter(why="move").update(why="staff")
    there = models.Exists(orders.filter(pk=models.OuterRef("stop_id")))
    lately = models.Q(started_at__gt=timezone.now() - A_DAY)
    for move in moves.filter(~there, lately | models.Q(state="waits_for_stop")).order_by("pk"):
        _order_again(move, orders)


def _order_again(move, orders):
    """Orders as they would stand there, had nobody deleted them: a start after its stop, both closed."""
    of_both = {"session_id": move.session_id, "actor_id": move.actor_id, "why": "staff"}
    at, closed = move.started_at, move.state_changed_at
    orders.create(kind="stop", bridge_id=move.from_bridge_id, state="failed", created_at=at, closed_at=closed, **of_both)
    if move.state in ("started", "given_back") and move.to_bridge_id is not None:
        of_start = {"kind": "start", "bridge_id": move.to_bridge_id, "state": "confirmed"}
        orders.create(created_at=closed, closed_at=closed, **of_start, **of_both)


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0010_reasons_in_columns"),
    ]

    operations = [
        migrations.AlterField(
            model_name="bridgeorder",
            name="why",
            field=models.CharField(
                blank=True,
                choices=[
                    ("late_qr", "a QR code long after the scan"),
                    ("repeated", "an event like one just before"),
                    ("overtaken", "an event older than what came after it"),
                    ("pair", "somebody wants to pair a connected account"),
                    ("recovery", "the connection was lost"),
                    ("reconcile", "the bridge's sessions differ from the record"),
                    ("staff", "asked for by staff"),
                    ("move", "move to another bridge"),
                ],
                default="",
                max_length=20,
                verbose_name="asked because",
            ),
        ),
        migrations.CreateModel(
            name="LinkMove",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("reason", models.CharField(blank=True, default="", max_length=500, verbose_name="reason")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waits_for_stop", "waits until the old bridge has stopped it"),
                            ("started", "the new bridge was told to start it"),
                            ("given_up", "given up: the old bridge did not stop it"),
                            ("given_back", "given back: the login was not there"),
                            ("lapsed", "nobody waits for the stop any more"),
                        ],
                        default="waits_for_stop",
                        max_length=16,
                        verbose_name="state",
                    ),
                ),
                ("started_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="started")),
                ("state_changed_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="state since")),
                (
                    "open_session_id",
                    models.GeneratedField(
                        db_persist=False,
                        expression=models.Case(
                            models.When(state="waits_for_stop", then=models.F("session_id")), default=None
                        ),
                        output_field=models.BigIntegerField(null=True),
                    ),
                ),
                (
                    "actor",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="by",
                    ),
                ),
                (
                    "from_bridge",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.bridge",
                        verbose_name="from",
                    ),
                ),
                (
                    "session",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="moves",
                        to="accounts.linksession",
                        verbose_name="session",
                    ),
                ),
                (
                    "stop",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="accounts.bridgeorder",
                    ),
                ),
                (
                    "to_bridge",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="accounts.bridge",
                        verbose_name="to",
                    ),
                ),
            ],
            options={
                "verbose_name": "move to another bridge",
                "verbose_name_plural": "moves to other bridges",
                "indexes": [models.Index(fields=["state", "started_at"], name="accounts_li_state_8dcf8d_idx")],
                "constraints": [
                    models.UniqueConstraint(fields=("open_session_id",), name="one_open_move_per_session")
                ],
            },
        ),
        migrations.RunPython(moves_from_orders, orders_from_moves),
    ]
