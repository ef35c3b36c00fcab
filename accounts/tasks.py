"""The tasks that django-q2 runs: each is one call. All are safe when they run twice, at once, or late."""

import time

from accounts.bridges import watch
from accounts.delivery import dispatcher, in_doubt
from accounts.housekeeping import cleanup
from accounts.jobs.row_by_row import safely
from accounts.pairing import attempts, overdue, waiting_line
from accounts.reconcile import polling, recovery, relocation, unknown

PATIENCE = 30  # seconds a run: the queue ends a task at 45


def deliver_order(order_id: int) -> None:
    dispatcher.deliver(order_id)


def settle_order(order_id: int) -> None:
    in_doubt.settle(order_id)


def order_failed(order_id: int) -> None:
    attempts.give_up(order_id)


def expire_session(session_pk: int) -> None:
    attempts.expire(session_pk)


def recover_bridge(bridge_id: int) -> None:
    recovery.run(bridge_id)


def recover_lost() -> int:
    return recovery.sweep()


def continue_move(session_pk: int) -> None:
    relocation.go_on(session_pk)


def continue_moves() -> int:
    return relocation.sweep()


def advance_line(bridge_id: int) -> None:
    waiting_line.advance(bridge_id)
    waiting_line.tell_those_in_line(bridge_id)


def poll_bridges() -> int:
    return polling.poll_all()


def poll_bridge(bridge_id: int) -> None:
    polling.poll(bridge_id)


def watch_bridges() -> dict[str, int]:
    return watch.watch()


def stop_stray(stray_id: int) -> None:
    unknown.carry_out_stop(stray_id)


def advance_lines() -> int:
    """Advance waiting lines whose own task was lost. Gives how many attempts were admitted."""
    return waiting_line.sweep()


def sweep_orders() -> int:
    return dispatcher.sweep()


def expire_overdue() -> dict[str, int]:
    """Expire attempts whose own task was lost. One that fails holds up nobody behind it."""
    found, failed, give_up = overdue.find(), 0, time.monotonic() + PATIENCE
    for tried, session_pk in enumerate(found):
        if time.monotonic() > give_up:
            return {"overdue": len(found), "failed": failed, "left": len(found) - tried}
        failed += safely(attempts.expire, session_pk) is None
    return {"overdue": len(found), "failed": failed}


def clean_up() -> cleanup.Cleaned | str:
    return cleanup.clean_on_schedule()
