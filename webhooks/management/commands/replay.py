import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from accounts.access.changes import state_of
from accounts.access.command import AuditedCommand
from webhooks.events.handlers import DROPPED, LIFECYCLE, MESSAGES
from webhooks.inbox import process
from webhooks.models import UnmatchedTraffic, WebhookEvent

State = WebhookEvent.State
AGES = {"m": "minutes", "h": "hours", "d": "days"}
EVERY = 50  # events between two lines of progress


class Command(AuditedCommand):
    help = (
        "Try failed and dead events of the inbox again, oldest first. An event that was applied is never applied "
        "again; one that was overtaken is ignored. May be stopped and started again at any time."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--event", help="the number of one event, its X-Event-Id, or the name of all that are meant"
        )
        parser.add_argument("--event-name", help="the same, for a name")
        parser.add_argument(
            "--since", help="received since: 2026-11-20, 2026-11-20T13:00 (UTC), or an age: 30m, 2h, 7d"
        )
        parser.add_argument("--dead", action="store_true", help="only those that nobody tries any more")

    def handle(self, *args: Any, event: str | None, event_name: str | None, **options: Any) -> None:
        if not (event or event_name or options["since"] or options["dead"]):
            raise CommandError("Say which events: --event ID, or --since T, --event NAME, --dead.")
        one = _one(event) if event and event not in LIFECYCLE else None
        if one is not None:
            self._replay_one(one)
        else:
            chosen = _chosen(event or event_name, since=options["since"], dead=options["dead"])
            self._replay_all(list(chosen.order_by("pk").values_list("pk", flat=True)))

    def _replay_one(self, event: WebhookEvent) -> None:
        before = state_of(event)
        if not process.retry(event.pk, anew=True):
            event.refresh_from_db()
            raise CommandError(f"Event {event.pk} ({event.event}) is not replayed: {_why_not(event)}")
        event.refresh_from_db()
        self.note("webhookevent.replay", event, before)  # a try is several transactions; this comes after them
        self.stdout.write(f"Event {event.pk} ({event.event}) is {_state(event)}.")

    def _replay_all(self, pks: list[int]) -> None:
        became: Counter[str] = Counter()
        for number, pk in enumerate(pks, 1):
            became[self._replay(pk)] += 1
            if number % EVERY == 0 and number < len(pks):
                self.stdout.write(f"{number} of {len(pks)}: {_sum(became)}")
        self.stdout.write(f"Done, {len(pks)} of {len(pks)}: {_sum(became)}" if pks else "There is nothing to replay.")
        if became[State.FAILED]:
            self.stdout.write("What failed is tried again by itself; the inbox in the admin shows the problem.")

    def _replay(self, pk: int) -> str:
        """Replay an event and return its result. Since it was listed it may have been deleted, or applied."""
        event = WebhookEvent.objects.select_related("session__account").filter(pk=pk).first()
        before = state_of(event) if event else None
        try:
            tried = process.retry(pk, anew=True)
        except WebhookEvent.DoesNotExist:
            return "left alone"
        if event is None or not tried:
            return "left alone"
        self.note("webhookevent.replay", event, before)
        return WebhookEvent.objects.values_list("state", flat=True).get(pk=pk)


def _one(text: str) -> WebhookEvent | None:
    """Return the event of this number or X-Event-Id. Raises CommandError, with a hint, when there is none."""
    same = Q(pk=int(text)) if text.isdecimal() and len(text) <= 18 else Q(event_id=text)
    found = WebhookEvent.objects.filter(same).order_by("pk").first()
    if found is not None:
        return found
    if text in MESSAGES or text in DROPPED:
        raise CommandError(f"{text} never waits in the inbox: messages are stored at once, so none is to be replayed.")
    if UnmatchedTraffic.objects.filter(event=text).exists():
        raise CommandError(f"{text} is an event that we do not know: it is counted, not kept.")
    raise CommandError(f"There is no event {text}. The names are: {', '.join(sorted(LIFECYCLE))}.")


def _chosen(name: str | None, *, since: str | None, dead: bool) -> QuerySet[WebhookEvent]:
    events = WebhookEvent.objects.filter(state__in=[State.DEAD] if dead else [State.FAILED, State.DEAD])
    if name:
        events = events.filter(event=name)
    return events.filter(received_at__gte=_moment(since)) if since else events


def _moment(text: str) -> datetime:
    age = re.fullmatch(r"(\d{1,5})([mhd])", text)
    if age:
        return timezone.now() - timedelta(**{AGES[age[2]]: int(age[1])})
    try:
        day = parse_date(text)
        moment = datetime(day.year, day.month, day.day) if day else parse_datetime(text)  # noqa: DTZ001  # just below
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(f"{text} is no time. Say 2026-11-20, 2026-11-20T13:00 (UTC), or an age: 30m, 2h, 7d.")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _sum(became: Counter[str]) -> str:
    always = [State.APPLIED, State.IGNORED, State.FAILED]
    return ", ".join(f"{became[word]} {word}" for word in [*always, *sorted(became.keys() - set(always))])


def _state(event: WebhookEvent) -> str:
    detail = event.reason or event.error
    return f"{event.state} ({detail})" if detail else event.state


def _why_not(event: WebhookEvent) -> str:
    if event.state == State.RECEIVED:
        return "somebody works on it at this moment."
    return f"it was {_state(event)} already."
