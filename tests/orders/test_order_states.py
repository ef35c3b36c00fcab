"""The states of an order: which moves there are, and who makes them."""

import ast
from functools import partial

import pytest
from django.utils import timezone

from accounts.delivery import dispatcher, in_doubt, retries
from accounts.lifecycle import IllegalMove
from accounts.models import Account, BridgeOrder, LinkSession
from accounts.orders import outbox
from tests.support import ROOT
from tests.support.misbehaving import MisbehavingBridge, faithful, status
from tests.support.orders import bridge, start_of, wait
from tests.support.races import at_once
from tests.support.writers import sources, writers

__all__ = ["bridge"]

Kind, State, Setback = BridgeOrder.Kind, BridgeOrder.State, BridgeOrder.Setback
MOVES, UNDER_WAY = BridgeOrder.MOVES, BridgeOrder.UNDER_WAY
WORDS = "it answered 500: told to answer 500"
CLOSED = [State.CONFIRMED, State.FAILED, State.CANCELLED]


def in_state(session: LinkSession, state: BridgeOrder.State) -> BridgeOrder:
    session.orders.update(state=state, due_at=timezone.now(), closed_at=None)
    return start_of(session)


class TestTable:
    def test_every_state_has_its_moves(self) -> None:
        assert set(MOVES) == set(State)
        assert set().union(*MOVES.values()) == set(State)

    def test_what_is_closed_stays_closed(self) -> None:
        assert [MOVES[state] for state in CLOSED] == [frozenset()] * 3
        assert set(State) == {*CLOSED, *UNDER_WAY}

    def test_nothing_is_confirmed_before_it_was_claimed(self) -> None:
        assert MOVES[State.PENDING] == {State.CLAIMED, State.CANCELLED}

    def test_what_may_be_at_the_bridge_is_never_claimed_as_it_is(self) -> None:
        """From a doubt it goes back to waiting, so that its turn comes first."""
        assert [old for old in State if State.CLAIMED in MOVES[old]] == [State.PENDING]

    @pytest.mark.parametrize("old", State)
    @pytest.mark.parametrize("new", State)
    def test_a_move_is_in_the_table_or_is_refused(
        self, session: LinkSession, old: BridgeOrder.State, new: BridgeOrder.State
    ) -> None:
        order = in_state(session, old)
        if new not in MOVES[old]:
            with pytest.raises(IllegalMove):
                session.orders.move([old], new)
            after = start_of(session)
            assert (after.state, after.due_at, after.closed_at) == (old, order.due_at, None)
            return
        assert session.orders.move([old], new, due_in=60) == 1
        after = start_of(session)
        assert after.state == new
        if new in UNDER_WAY:
            assert 59 < (after.due_at - timezone.now()).total_seconds() <= 60
            assert after.closed_at is None
        else:
            assert after.due_at == order.due_at
            assert after.closed_at is not None

    def test_one_move_that_is_not_in_the_table_refuses_them_all(self, session: LinkSession) -> None:
        with pytest.raises(IllegalMove):
            session.orders.move([State.PENDING, State.CONFIRMED], State.CANCELLED)
        assert start_of(session).state == State.PENDING


class TestCompareAndSet:
    def test_an_order_in_another_state_is_left_alone(self, session: LinkSession) -> None:
        in_state(session, State.CONFIRMED)
        assert session.orders.move([State.CLAIMED, State.UNCLEAR], State.FAILED) == 0
        assert start_of(session).state == State.CONFIRMED

    def test_of_several_those_move_that_are_in_the_state(self, session: LinkSession) -> None:
        outbox.order(session, Kind.CHECK)
        stop = outbox.order(session, Kind.STOP)
        session.orders.filter(pk=stop.pk).update(state=State.CLAIMED)
        assert session.orders.move([State.PENDING], State.CANCELLED) == 2
        assert list(session.orders.order_by("pk").values_list("state", flat=True)) == [
            State.CANCELLED,
            State.CANCELLED,
            State.CLAIMED,
        ]

    @pytest.mark.race
    @pytest.mark.django_db(transaction=True)
    def test_of_twins_one_moves_it(self, session: LinkSession) -> None:
        mine = BridgeOrder.objects.filter(pk=start_of(session).pk)
        claim = partial(mine.move, [State.PENDING], State.CLAIMED, due_in=25)
        assert sorted(at_once([claim] * 4)) == [0, 0, 0, 1]

    @pytest.mark.race
    @pytest.mark.django_db(transaction=True)
    def test_of_workers_with_the_same_order_one_claims_it(self, session: LinkSession) -> None:
        order = start_of(session)
        claimed = at_once([partial(dispatcher._claim, order.pk)] * 4)
        assert [mine and (mine.state, mine.attempts) for mine in claimed if mine] == [(State.CLAIMED, 1)]


class TestSetback:
    """The last problem: a code for programs, written with the state, and a text for people."""

    def problem(self, session: LinkSession) -> tuple[str, str]:
        order = start_of(session)
        return order.setback, order.error

    def dies(self, session: LinkSession) -> None:
        assert dispatcher._claim(start_of(session).pk) is not None
        BridgeOrder.objects.update(due_at=timezone.now())
        in_doubt.settle(start_of(session).pk)

    def test_a_try_that_failed(self, node: MisbehavingBridge, session: LinkSession) -> None:
        node.plays(status(500), faithful)
        dispatcher.deliver(start_of(session).pk)
        assert self.problem(session) == (Setback.TRY_FAILED, WORDS)
        wait(start_of(session), 30)
        assert start_of(session).state == State.CONFIRMED
        assert self.problem(session) == (Setback.NONE, "")

    def test_a_worker_that_died(self, session: LinkSession) -> None:
        self.dies(session)
        assert self.problem(session) == (Setback.WORKER_DIED, retries.DIED)
        assert start_of(session).state == State.PENDING

    def test_without_one_the_last_stays(self, session: LinkSession) -> None:
        self.dies(session)
        session.orders.move([State.PENDING], State.CANCELLED)
        assert self.problem(session) == (Setback.WORKER_DIED, retries.DIED)

    def test_its_text_is_cut_to_its_column(self, session: LinkSession) -> None:
        in_state(session, State.CLAIMED)
        session.orders.move([State.CLAIMED], State.FAILED, setback=Setback.TRY_FAILED, error="x" * 999)
        assert self.problem(session) == (Setback.TRY_FAILED, "x" * 300)

    @pytest.mark.parametrize("text", ["the worker died with it", "pekerjanya mati", ""])
    def test_the_first_failure_stands_in_the_history_whatever_the_text_says(
        self, node: MisbehavingBridge, account: Account, session: LinkSession, text: str
    ) -> None:
        """A worker's death was not told; a failed try was, once. Neither is read from the text."""
        node.plays(status(500), status(500), faithful)
        self.dies(session)
        for _ in range(3):
            BridgeOrder.objects.update(error=text)
            wait(start_of(session), 30)
        assert account.transitions.filter(trigger="order_failed").count() == 1
        assert start_of(session).state == State.CONFIRMED


class TestOneWriter:
    """Any other writer asks no table, and may undo what a twin has done."""

    def test_only_the_move_of_an_order_writes_its_state(self) -> None:
        found = [
            (path, ast.unparse(node))
            for path, tree in sources()
            if path.startswith("accounts/") or self.names_orders(tree)
            for node in writers(tree, "state", model="BridgeOrder")
            if "WebhookEvent.State" not in ast.unparse(node)
            and path != "accounts/models/link_move.py"  # states of their own
        ]
        assert found == [
            ("accounts/models/order.py", "self.filter(state__in=old).update(state=new, **values)"),
        ]

    def test_nor_does_anybody_else_write_the_code_of_its_last_problem(self) -> None:
        trees = [tree for _, tree in sources()]
        assert not [ast.unparse(node) for tree in trees for node in writers(tree, "setback", model="BridgeOrder")]

    def names_orders(self, tree: ast.AST) -> bool:
        """Outside of `accounts` other models have a state as well: the inbox's events."""
        names = {getattr(node, name, "") for node in ast.walk(tree) for name in ("id", "attr", "name", "module")}
        return bool(names & {"BridgeOrder", "orders", "accounts.orders"})

    @pytest.mark.parametrize(
        "code",
        [
            "order.state = State.FAILED",
            "order.state, order.attempts = State.CLAIMED, 1",
            "setattr(order, 'state', 'x')",
            "BridgeOrder.objects.filter(pk=1).update(state='x')",
            "session.orders.create(kind='start', state='x')",
            "BridgeOrder(state='x')",
        ],
    )
    def test_the_scan_sees_every_way_to_write_one(self, code: str) -> None:
        assert list(writers(ast.parse(code), "state", model="BridgeOrder"))


class TestOneWay:
    """A module imports those below it only, and neither of the two that post and settle orders imports the other."""

    MAY_CALL = {
        "delivery/dispatcher": {"delivery/retries", "orders/closing", "orders/turns", "orders/outbox"},
        "delivery/in_doubt": {"delivery/retries", "orders/closing", "orders/turns", "orders/outbox"},
        "delivery/retries": {"orders/closing", "orders/turns"},
        "orders/closing": {"orders/turns"},
        "orders/turns": set(),
        "orders/outbox": set(),
    }

    def called(self, module: str) -> set[str]:
        tree = ast.parse((ROOT / "accounts" / f"{module}.py").read_text())
        lines = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names = {f"{line.module}.{alias.name}" for line in lines for alias in line.names}
        return {other for other in self.MAY_CALL if f"accounts.{other.replace('/', '.')}" in " ".join(names)}

    def test_every_module_of_the_way_is_listed(self) -> None:
        there = {path for room in ("orders", "delivery") for path in (ROOT / "accounts" / room).glob("*.py")}
        assert {f"{path.parent.name}/{path.stem}" for path in there if path.stem != "__init__"} == set(self.MAY_CALL)

    @pytest.mark.parametrize("module", MAY_CALL)
    def test_it_calls_what_comes_after_it(self, module: str) -> None:
        assert self.called(module) == self.MAY_CALL[module]
