"""What the inbox does when a handler kills its process: the event is kept, and tried eight times at the most."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts.lifecycle import Status
from accounts.models import Account, LinkSession
from tests.support import ROOT
from tests.support.faults import sweep_when_due
from tests.support.links import READY, status_of
from tests.support.portal import Portal
from tests.support.signing import signed_headers
from webhooks.inbox import receive, store
from webhooks.models import WebhookEvent

State = WebhookEvent.State
# A process of its own for each try, forked before any connection is open. `sweep` also plays the time that passes.
KILLED = """
import os, signal, sys, django
django.setup()
from django.db import connection
from django.test import Client
from django.utils import timezone
from webhooks.events import handlers
from webhooks.inbox import process
from webhooks.models import WebhookEvent

database, tries, url, headers, body = sys.argv[1], int(sys.argv[2]), *sys.argv[3:6]
connection.settings_dict["NAME"] = database

def kill(session_pk, data):
    os.kill(os.getpid(), signal.SIGKILL)

name = "session_ready"
handlers.LIFECYCLE[name] = handlers.Handler(handlers.LIFECYCLE[name].shape, kill)

def receive():
    import json
    Client().post(url, body.encode(), "application/json", headers=json.loads(headers))

def sweep():
    WebhookEvent.objects.filter(state="received").update(due_at=timezone.now())
    process.sweep()

for attempt in range(tries):
    child = os.fork()
    if not child:
        (sweep if attempt else receive)()
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.django_db(transaction=True)
class TestAHandlerThatKillsTheProcess:
    @pytest.fixture
    def die(self, portal: Portal, session: LinkSession) -> Callable[[int], list[int]]:
        """die(n): receive `session_ready` and sweep n - 1 times, each in a process that the handler kills."""
        data = {"session_id": session.session_id, **READY}
        raw, headers = signed_headers(portal.secret, {"event": "session_ready", "data": data})

        def run(tries: int) -> list[int]:
            command = [sys.executable, "-c", KILLED, str(connection.settings_dict["NAME"]), str(tries)]
            command += ["/api/whatsapp/webhooks/webjs", json.dumps(headers), raw.decode()]
            environment = os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings", "ALLOWED_HOSTS": "testserver"}
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, done.stderr
            return [int(line) for line in done.stdout.split()]

        return run

    def test_the_event_is_there_and_its_try_is_counted(self, die: Callable[[int], list[int]], account: Account) -> None:
        assert die(1) == [-9]
        event = WebhookEvent.objects.get()
        assert (event.state, event.attempts) == (State.RECEIVED, 1)
        assert status_of(account) == Status.QR_SCANNING

    def test_it_ends_dead_after_eight_tries(self, die: Callable[[int], list[int]], account: Account) -> None:
        assert die(10) == [-9] * 8 + [0, 0]
        event = WebhookEvent.objects.get()
        assert (event.state, event.attempts) == (State.DEAD, 8)
        assert status_of(account) == Status.QR_SCANNING

    def test_it_is_applied_once_the_fault_is_gone(self, die: Callable[[int], list[int]], account: Account) -> None:
        assert die(3) == [-9] * 3
        assert sweep_when_due() == 1
        event = WebhookEvent.objects.get()
        assert (event.state, event.attempts) == (State.APPLIED, 4)
        assert status_of(account) == Status.CONNECTED

    def test_the_bridge_need_not_wait_for_the_sweep_when_it_sends_the_event_again(
        self, die: Callable[[int], list[int]], portal: Portal, account: Account, session: LinkSession
    ) -> None:
        """Signed anew, as a bridge does; known by its id."""
        assert die(1) == [-9]
        WebhookEvent.objects.update(event_id="e1", due_at=timezone.now() + timedelta(seconds=store.REQUEST_LEASE))
        body = {"event": "session_ready", "data": {"session_id": session.session_id, **READY}}
        at_once = portal.send(body, **{"X-Event-Id": "e1"})
        assert at_once.json()["outcome"] == "duplicate"
        assert status_of(account) == Status.QR_SCANNING  # the first request may be at it still
        a_moment_later = timezone.now() + timedelta(seconds=store.REQUEST_LEASE - receive.TAKE_OVER_AFTER - 1)
        WebhookEvent.objects.update(due_at=a_moment_later)
        assert portal.send(body, **{"X-Event-Id": "e1"}).status_code == 200
        assert status_of(account) == Status.CONNECTED
        assert WebhookEvent.objects.get().attempts == 2
