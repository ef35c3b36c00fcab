"""A bridge that runs as several processes behind one address, as PM2's cluster mode makes them: a real HTTP server at
which each request goes to the next process. They share their disk and nothing else.
"""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from accounts.delivery import dispatcher
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, LinkSession, Workspace
from accounts.reconcile import polling, recovery
from tests.support.misbehaving import Conversation, MisbehavingBridge, Seen
from tests.support.portal import Portal, make_bridge
from tests.support.queue import run_due_tasks
from tests.support.world import Client, World

LIVE = ("qr_scanning", "authenticated", "connected")
STEP = 15  # seconds


class Worker(World):
    """One process of a Node bridge, with the /health that it has."""

    def _health(self) -> dict[str, Any]:
        connected = len(self.in_state("connected"))
        totals = {"total": len(self.running), "connected": connected, "disconnected": len(self.running) - connected}
        return {"status": "healthy", "uptime": time.time() - self.began, "sessions": totals}

    def start(self, session_id: str) -> None:
        """A login that is there is read first, and told of; some seconds later it is connected (`Cluster.deliver`)."""
        super().start(session_id)
        if session_id in self.logins:
            self.running[session_id].state = "authenticated"
            self.wire.pop()  # its ready comes with `finish`

    def _obey(self, seen: Seen) -> dict[str, Any]:
        parts = seen.path.strip("/").split("/")
        gone = seen.method == "DELETE" and parts[2] not in self.running
        return super()._obey(seen) | ({"alreadyDisconnected": True} if gone else {})


@dataclass
class Cluster:
    """`twice`: ids that ever had a client in two processes, or a second one in the same."""

    node: MisbehavingBridge
    workers: list[Worker]
    turns: Iterator[int]
    twice: set[str] = field(default_factory=set)

    def answer(self, talk: Conversation, seen: Seen) -> None:
        worker = self.workers[next(self.turns) % len(self.workers)]
        body = worker._obey(seen)
        self.look()
        talk.answer(200, body)

    def look(self) -> None:
        live = [name for worker in self.workers for name in worker.in_state(*LIVE)]
        self.twice |= {name for name in live if live.count(name) > 1}
        self.twice |= {name for worker in self.workers for name in worker.doubled}

    def worker_of(self, session: LinkSession) -> Worker:
        return next(worker for worker in self.workers if session.session_id in worker.running)

    def states(self, session: LinkSession) -> list[str]:
        """Its clients, wherever they run."""
        clients = [worker.running.get(session.session_id) for worker in self.workers]
        return [client.state for client in clients if client is not None and client.state in LIVE]

    def deliver(self) -> None:
        """What the processes have to tell; then those that were scanned are ready."""
        portal = Portal("alpha-hmac")
        for worker in self.workers:
            self._send(worker, portal)
            for session_id in worker.in_state("authenticated"):
                worker.finish(session_id)

    def _send(self, worker: Worker, portal: Portal) -> None:
        while worker.wire:
            event = worker.wire.pop(0)
            data = {"workspace_id": 1, "session_id": event.session_id, **event.data}
            portal.send({"event": event.name, "data": data})


def cluster(node: MisbehavingBridge, count: int, *, apart: float, turns: Iterator[int] | None = None) -> Cluster:
    """`count` processes, each started `apart` seconds after the one before it; the first one an hour ago."""
    logins: dict[str, str] = {}
    workers = [Worker(node, numbered=False, logins=logins) for _ in range(count)]
    made = Cluster(node, workers, turns or itertools.count())
    began = time.time() - 3600
    for number, worker in enumerate(workers):
        worker.began = began + number * apart
    node.lists = made.answer
    node.plays(made.answer)
    return made


def spread(made: Cluster, bridge: Bridge, workspace: Workspace, links: int) -> list[LinkSession]:
    """So many links of yesterday, each at the next process."""
    long_ago = timezone.now() - timedelta(days=1)
    since = {"started_at": long_ago, "first_qr_at": long_ago, "authenticated_at": long_ago, "connected_at": long_ago}
    sessions = []
    for number in range(links):
        phone = f"62811000000{number:02d}"
        account = Account.objects.create(workspace=workspace, phone_number=phone, status=Status.CONNECTED)
        seen_at = timezone.now() - timedelta(minutes=1)
        session = LinkSession.objects.create(
            session_id=f"s{number}", account=account, bridge=bridge, last_seen_at=seen_at, **since
        )
        Account.objects.filter(pk=account.pk).update(current_session=session, status_changed_at=long_ago)
        worker = made.workers[number % len(made.workers)]
        worker.running[session.session_id] = Client("connected", phone)
        worker.logins[session.session_id] = phone
        sessions.append(session)
    return sessions


@pytest.fixture
def bridge(db: None, node: MisbehavingBridge) -> Bridge:
    heard = {"last_heard_at": timezone.now(), "heard_since": timezone.now() - timedelta(days=2)}
    return make_bridge("alpha", url=node.url, **heard)


def pass_time(made: Cluster, bridge: Bridge, clock: time_machine.Traveller, seconds: float) -> None:
    """Polls come twice a minute, and the jobs once; what is queued is done in time."""
    for step in range(int(seconds) // STEP):
        clock.shift(STEP)
        made.deliver()
        if step % 2 == 0:
            polling.poll(bridge.pk)
        if step % 4 == 0:
            recovery.sweep()
            dispatcher.sweep()
        run_due_tasks()
        made.deliver()
        made.look()
