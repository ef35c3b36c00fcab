"""The bridge of this project, as it runs: a process of its own, with a simulated phone, and a portal over HTTP."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.bridges import client
from accounts.lifecycle import Status
from accounts.models import Account, Bridge, BridgeOrder, LinkSession, User, Workspace
from accounts.orders import outbox
from accounts.pairing import attempts, link_probe
from accounts.pairing.attempts import May
from tests.support import ROOT
from tests.support.links import move_back
from tests.support.portal import make_bridge
from tests.support.queue import run_due_tasks
from tests.support.servers import portal

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]

WITHIN = 30  # seconds; a shared machine may be busy


@contextmanager
def real_bridge(portal_url: str, data_dir: Path, *, scan_after: float = 0) -> Iterator[str]:
    """Its URL. The phone scans after so many seconds (-1: never), reads what it gets, and says so."""
    own = {
        "LINKDESK_URL": portal_url,
        "HMAC_SECRET": "alpha-hmac",
        "API_KEY": "alpha-key",
        "BRIDGE_DATA_DIR": str(data_dir),
        "BRIDGE_PORT": "0",
        "LINKDESK_SIM_SCAN_AFTER": str(scan_after),
        "LINKDESK_SIM_READY_AFTER": "0",
        "LINKDESK_SIM_ACK_EVERY": "0.01",
    }
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ.get("PYTHONPATH", "")} | own
    log = data_dir / "log"
    command = [sys.executable, "-m", "bridge"]
    with log.open("w") as out, subprocess.Popen(command, cwd=ROOT, env=environment, stderr=out) as process:
        try:
            port = eventually(lambda: re.search(r"listening .*port=(\d+)", log.read_text()))
            yield f"http://127.0.0.1:{port[1]}"
        finally:
            process.terminate()


def eventually(look: Callable[[], Any]) -> Any:
    until = time.monotonic() + WITHIN
    while not (found := look()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.05)
    return found


def test_a_test_message_from_the_admin_arrives_at_the_phone(workspace: Workspace, tmp_path: Path) -> None:
    staff = Client()
    staff.force_login(User.objects.create_superuser("alice"))
    account = Account.objects.create(workspace=workspace)
    make_bridge("alpha")
    with portal() as portal_url, real_bridge(portal_url, tmp_path) as bridge_url:
        Bridge.objects.update(url=bridge_url)
        session = attempts.start(account.pk, trigger="test")
        run_due_tasks()
        eventually(lambda: Account.objects.filter(pk=account.pk, status=Status.CONNECTED).exists())
        answer = staff.post(f"/admin/accounts/account/{account.pk}/send_test_message/", {"phone_number": ""})
        assert answer.status_code < 400, answer.content
        run_due_tasks()
        order = session.orders.get(kind=BridgeOrder.Kind.TEST_MESSAGE)
        assert order.message_id, order.error
        eventually(lambda: link_probe.proof_of(order).step == link_probe.ProbeStep.READ)
        inbox = (tmp_path / "simulated" / session.session_id / "phone-inbox.jsonl").read_text().splitlines()
        assert ["is linked and can send" in json.loads(line)["body"] for line in inbox] == [True]
        attempts.force_reset(account.pk)
        run_due_tasks()
        assert not BridgeOrder.objects.filter(state__in=BridgeOrder.UNDER_WAY).exists()


def settle() -> None:
    """What waits, soft ends' stops among it, goes out now, until nothing is left."""
    for _ in range(10):
        BridgeOrder.objects.filter(state__in=BridgeOrder.UNDER_WAY).update(due_at=timezone.now())
        run_due_tasks(within=outbox.HINTS[-1])
    assert not BridgeOrder.objects.filter(state__in=BridgeOrder.UNDER_WAY).exists()


def assert_it_runs_what_the_desk_believes() -> None:
    believed = LinkSession.objects.filter(ended_at=None).values_list("session_id", flat=True)
    assert set(client.running_sessions(Bridge.objects.get())) == set(believed)


def begin(workspace: Workspace) -> LinkSession:
    return attempts.start(Account.objects.create(workspace=workspace).pk, trigger="test")


def shown(session: LinkSession) -> LinkSession:
    """Its start has gone out, and its first QR code is there."""
    run_due_tasks()
    eventually(lambda: LinkSession.objects.filter(pk=session.pk, first_qr_at__isnull=False).exists())
    return session


def reset(session: LinkSession) -> None:
    attempts.force_reset(session.account_id)


def renew(session: LinkSession) -> None:
    attempts.start(session.account_id, trigger="test", may=May.RENEW)


def test_a_reset_and_a_new_code_before_and_after_the_start_went_out(workspace: Workspace, tmp_path: Path) -> None:
    make_bridge("alpha", pairings_at_once=50)
    with portal() as portal_url, real_bridge(portal_url, tmp_path, scan_after=-1) as bridge_url:
        Bridge.objects.update(url=bridge_url)
        for event, ends in ((reset, Status.INACTIVE), (renew, Status.QR_SCANNING)):
            before = begin(workspace)
            event(before)
            settle()
            after = shown(begin(workspace))
            event(after)
            settle()
            assert [Account.objects.get(pk=each.account_id).status for each in (before, after)] == [ends] * 2
            assert_it_runs_what_the_desk_believes()
        assert LinkSession.objects.filter(ended_at=None).count() == 2


def test_a_code_that_is_scanned_after_its_time_links(workspace: Workspace, tmp_path: Path) -> None:
    """Before its stop has gone out; and after a new code was ordered in its place."""
    make_bridge("alpha")
    with portal() as portal_url, real_bridge(portal_url, tmp_path, scan_after=4) as bridge_url:
        Bridge.objects.update(url=bridge_url)
        lapsed = shown(begin(workspace))
        move_back(lapsed, 121)
        assert attempts.expire(lapsed.pk)
        replaced = shown(begin(workspace))
        renew(replaced)
        for session in (lapsed, replaced):
            late = Account.objects.filter(pk=session.account_id, status=Status.CONNECTED, current_session=session)
            eventually(late.exists)
        settle()
        assert_it_runs_what_the_desk_believes()
        assert set(LinkSession.objects.filter(ended_at=None)) == {lapsed, replaced}
