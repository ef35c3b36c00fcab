"""Every scheduled job, run twice at once in two processes, does what one run does."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import IO, Any

import pytest
from django.db.models import Q
from django.utils import timezone
from django_q.models import Failure, OrmQ, Task

from accounts.jobs.schedules import JOBS
from accounts.models import Account, Bridge, BridgeOrder, Incident, LinkSession, Message, Transition, Workspace
from accounts.pairing import attempts
from accounts.reconcile import relocation
from tests.support import ROOT
from tests.support.links import QR, READY
from tests.support.portal import Portal, make_bridge
from tests.support.servers import environment
from webhooks.authentication import forget_secrets
from webhooks.models import UnmatchedTraffic, WebhookEvent

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]

PROGRAM = """
import sys, django
django.setup()
from django.utils.module_loading import import_string
from accounts import jobs
from accounts.jobs import schedules
by_name = {job.name: job for job in schedules.JOBS}
print("ready", flush=True)
for line in sys.stdin:
    due, _, name = line.strip().partition(" ")
    try:
        print(jobs.run(name, due) if due != "bare" else import_string(by_name[name].function)(), flush=True)
    except Exception as error:
        print("failed:", type(error).__name__, error, flush=True)
"""


class Process:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin
        assert process.stdout
        self.orders: IO[str] = process.stdin
        self.answers: IO[str] = process.stdout
        assert self.answers.readline() == "ready\n"

    def begin(self, job: str, *, due: str) -> None:
        self.orders.write(f"{due} {job}\n")
        self.orders.flush()

    def answer(self) -> str:
        return self.answers.readline().strip()


@contextmanager
def process() -> Iterator[Process]:
    more = {"DJANGO_SETTINGS_MODULE": "config.settings"}
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(
        command, cwd=ROOT, env=environment() | more, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        yield Process(running)
        assert running.stdin
        running.stdin.close()


@pytest.fixture(scope="module")
def two(django_db_setup: None) -> Iterator[list[Process]]:
    with ExitStack() as stack:
        yield [stack.enter_context(process()) for _ in range(2)]


def link(portal: Portal, session: LinkSession) -> None:
    for event, more in (("qr_code_generated", QR), ("session_authenticated", {}), ("session_ready", READY)):
        assert portal.post(event, session, **more).status_code == 200


def ago(**time: float) -> Any:
    return timezone.now() - timedelta(**time)


def an_order_is_due(session: LinkSession, portal: Portal) -> None:
    BridgeOrder.objects.update(due_at=ago(seconds=5))
    OrmQ.objects.all().delete()


def a_pairing_is_overdue(session: LinkSession, portal: Portal) -> None:
    LinkSession.objects.update(started_at=ago(seconds=70), admitted_at=ago(seconds=70))
    OrmQ.objects.all().delete()


def a_link_is_lost(session: LinkSession, portal: Portal) -> None:
    link(portal, session)
    portal.post("session_disconnected", session, reason="NAVIGATION")
    Account.objects.update(status_changed_at=ago(seconds=20))
    OrmQ.objects.all().delete()


def somebody_waits_in_line(session: LinkSession, portal: Portal) -> None:
    Bridge.objects.update(pairings_at_once=1)
    for number in range(3):
        account = Account.objects.create(workspace=session.account.workspace, label=f"{number} in line")
        attempts.start(account.pk, trigger="test")
    Bridge.objects.update(pairings_at_once=2)
    OrmQ.objects.all().delete()


def a_link_moves(session: LinkSession, portal: Portal) -> None:
    link(portal, session)
    relocation.move(session.account_id, make_bridge("beta").pk, actor=None, reason="", has_login=True)
    OrmQ.objects.all().delete()


def a_bridge_is_to_be_asked(session: LinkSession, portal: Portal) -> None:
    OrmQ.objects.all().delete()


def a_bridge_is_silent(session: LinkSession, portal: Portal) -> None:
    Bridge.objects.update(last_heard_at=ago(minutes=5))


def an_attempt_is_long_over(session: LinkSession, portal: Portal) -> None:
    LinkSession.objects.update(started_at=ago(hours=26), admitted_at=ago(hours=26))
    attempts.expire(session.pk)
    LinkSession.objects.update(ended_at=ago(hours=25))
    BridgeOrder.objects.update(state=BridgeOrder.State.CONFIRMED, closed_at=ago(hours=25))


def an_event_has_failed(session: LinkSession, portal: Portal) -> None:
    portal.post("qr_code_generated", session, **QR)
    portal.post("session_authenticated", session)
    values = {"state": WebhookEvent.State.FAILED, "due_at": ago(seconds=5), "finished_at": None}
    portal.post("session_ready", session, **READY)
    event = WebhookEvent.objects.latest("pk")
    WebhookEvent.objects.filter(pk=event.pk).update(**values)
    event.pk, event.replay_key, event.event = None, "another", "session_disconnected"
    event.save()


def rows_have_grown_old(session: LinkSession, portal: Portal) -> None:
    for number, days in enumerate((400, 400, 1)):
        Message.objects.create(session=session, message_id=str(number), created_at=ago(days=days))
    old = {"created_at": ago(days=100), "closed_at": ago(days=100), "state": BridgeOrder.State.CONFIRMED}
    BridgeOrder.objects.update(**old)
    for number in range(3):
        when = {"started": ago(days=31), "stopped": ago(days=31)}
        Task.objects.create(id=f"{number:032}", name="x", func="x", success=False, **when)


def events_have_grown_old(session: LinkSession, portal: Portal) -> None:
    portal.post("qr_code_generated", session, **QR)
    portal.post("session_authenticated", session)
    WebhookEvent.objects.filter(event="qr_code_generated").update(received_at=ago(days=40), finished_at=ago(days=40))
    for number, days in enumerate((100, 100, 1)):
        times = {"first_at": ago(days=days), "last_at": ago(days=days)}
        UnmatchedTraffic.objects.create(bridge=session.bridge, session_id=f"s{number}", event="x", **times)


PREPARE: dict[str, Callable[[LinkSession, Portal], None]] = {
    "deliver forgotten orders": an_order_is_due,
    "end overdue pairings": a_pairing_is_overdue,
    "recover lost links": a_link_is_lost,
    "move the lines on": somebody_waits_in_line,
    "go on with moves": a_link_moves,
    "poll bridges without heartbeat": a_bridge_is_to_be_asked,
    "watch the bridges": a_bridge_is_silent,
    "clean up what is long over": an_attempt_is_long_over,
    "retry failed webhook events": an_event_has_failed,
    "delete what has grown old": rows_have_grown_old,
    "delete old webhook events": events_have_grown_old,
}


def facts() -> dict[str, Counter[Any]]:
    """What is there, without keys and times."""
    sessions = LinkSession.objects.annotate(waits=Q(admitted_at=None))
    return {
        "accounts": Counter(Account.objects.values_list("label", "status", "phone_number", "version")),
        "deleted": Counter(Account.objects.exclude(deleted_at=None).values_list("label", flat=True)),
        "sessions": Counter(sessions.values_list("account__label", "end_reason", "waits")),
        "history": Counter(Transition.objects.values_list("account__label", "old", "new", "trigger", "reason")),
        "orders": Counter(BridgeOrder.objects.values_list("session__account__label", "kind", "state", "attempts")),
        "events": Counter(WebhookEvent.objects.values_list("event", "state", "attempts", "reason")),
        "messages": Counter(Message.objects.values_list("message_id", flat=True)),
        "unmatched": Counter(UnmatchedTraffic.objects.values_list("session_id", flat=True)),
        "incidents": Counter(Incident.objects.values_list("kind", flat=True)),
        "failures": Counter(Failure.objects.values_list("id", flat=True)),
    }


def tasks() -> Counter[Any]:
    return Counter((row.func(), row.key) for row in OrmQ.objects.all())


def world(job: str) -> None:
    """From nothing, whatever was there: what a run left must not help the next."""
    Account.objects.update(current_session=None)
    below: list[Any] = [BridgeOrder, WebhookEvent, Message, Transition, LinkSession]
    for model in (*below, Account, Workspace, Bridge, OrmQ, Task):
        model.objects.all().delete()
    forget_secrets()
    bridge = make_bridge("alpha")
    account = Account.objects.create(workspace=Workspace.objects.create(name="Toko Alice"), label="Alice")
    session = attempts.start(account.pk, trigger="test")
    PREPARE[job](session, Portal(f"{bridge.name}-hmac"))


def run(processes: list[Process], job: str, *, due: str) -> None:
    world(job)
    for process in processes:
        process.begin(job, due=due)
    answers = [process.answer() for process in processes]
    assert all(answers), "one of them has died"
    assert not [answer for answer in answers if answer.startswith("failed")]


@pytest.mark.parametrize("job", [job.name for job in JOBS])
def test_twice_at_once_is_once(two: list[Process], job: str) -> None:
    assert job in PREPARE, "a new job: prepare something for it to do"
    world(job)
    nothing_done = facts(), tasks()
    run(two[:1], job, due=timezone.now().isoformat())
    once, then = facts(), tasks()
    assert (once, then) != nothing_done, "it had nothing to do: the test proves nothing"

    run(two, job, due=timezone.now().isoformat())
    assert (facts(), tasks()) == (once, then)

    # As when the first one's lease has run out: only hints in the queue may be there twice.
    run(two, job, due="bare")
    assert facts() == once
