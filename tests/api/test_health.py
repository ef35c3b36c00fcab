"""GET health, /healthz, /readyz: what is said when each part is down."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import caches
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ, Schedule

from accounts.models import Bridge, LinkSession, Pulse, Workspace
from api import health
from tests.api.conftest import Program, assert_refused

pytestmark = pytest.mark.django_db


def late(seconds: int) -> Any:
    return timezone.now() - timedelta(seconds=seconds)


@pytest.mark.usefixtures("idle_queue")
class TestHealth:
    def test_all_is_well(self, asks: Program, bridge: Bridge) -> None:
        with time_machine.travel(timezone.now(), tick=False):
            Pulse.objects.update(answered_at=timezone.now())
            answer = asks.get("health")
        assert answer.status_code == 200, answer.content
        data = answer.json()["data"]
        assert data["pairing_active"] is False
        assert data["database"] == "up"
        assert data["cache"] in {"in_process", "up"}
        lane = {"lane": "default", "state": "up", "seconds_silent": 0, "seconds_late": 0, "waiting": 0}
        assert data["worker"] == {"state": "up", "seconds_late": 0, "waiting": 0, "lanes": [lane]}
        assert [(row["name"], row["state"], row["has_room"]) for row in data["bridges"]] == [("alpha", "heard", True)]

    def test_a_pairing_is_seen(self, asks: Program, session: LinkSession) -> None:
        assert asks.get("health").json()["data"]["pairing_active"] is True

    def test_a_task_that_nobody_takes_is_503(self, asks: Program, bridge: Bridge) -> None:
        OrmQ.objects.create(key="default", payload="x", lock=late(91))
        answer = asks.get("health")
        assert "worker" in assert_refused(answer, 503, "NOT_HEALTHY")["message"]
        assert answer.json()["data"]["worker"]["state"] == "late"
        assert answer.json()["data"]["worker"]["waiting"] == 1

    def test_a_task_for_later_is_not_late(self, asks: Program, bridge: Bridge) -> None:
        OrmQ.objects.create(key="default", payload="x", lock=timezone.now() + timedelta(minutes=5))
        assert asks.get("health").status_code == 200

    def test_a_clock_that_nobody_winds_is_503(self, asks: Program, bridge: Bridge) -> None:
        Schedule.objects.create(name="x", func="x", cluster="default", next_run=late(91))
        assert_refused(asks.get("health"), 503, "NOT_HEALTHY")
        Schedule.objects.update(next_run=late(60))
        assert asks.get("health").status_code == 200

    def test_a_worker_that_does_not_answer_is_503(self, asks: Program, bridge: Bridge) -> None:
        with time_machine.travel(timezone.now(), tick=False):
            Pulse.objects.update(answered_at=late(31))
            answer = asks.get("health")
        assert "default: stuck" in assert_refused(answer, 503, "NOT_HEALTHY")["message"]
        assert answer.json()["data"]["worker"]["lanes"][0]["seconds_silent"] == 31
        Pulse.objects.update(answered_at=late(29))
        assert asks.get("health").status_code == 200

    def test_a_lane_that_is_used_and_has_no_worker_is_503(self, asks: Program, bridge: Bridge, settings: Any) -> None:
        settings.LINKDESK_LANES = {"orders": "orders", "default": "default", "low": "default"}
        answer = asks.get("health")
        assert "orders: never_started" in assert_refused(answer, 503, "NOT_HEALTHY")["message"]
        states = {lane["lane"]: lane["state"] for lane in answer.json()["data"]["worker"]["lanes"]}
        assert states == {"default": "up", "orders": "never_started"}

    @pytest.mark.parametrize("change", [{"draining": True}, {"weight": 0}, {"capacity": 0}])
    def test_no_bridge_with_room_is_503(self, asks: Program, bridge: Bridge, change: dict[str, Any]) -> None:
        Bridge.objects.update(**change)
        assert "bridge" in assert_refused(asks.get("health"), 503, "NOT_HEALTHY")["message"]

    def test_no_bridge_is_503(self, asks: Program) -> None:
        assert_refused(asks.get("health"), 503, "NOT_HEALTHY")

    @pytest.mark.parametrize(("heard", "state"), [(91, "silent"), (None, "never_heard")])
    def test_a_bridge_that_is_not_heard_of_gets_no_session(
        self, asks: Program, bridge: Bridge, heard: int | None, state: str
    ) -> None:
        Bridge.objects.update(last_heard_at=late(heard) if heard else None)
        answer = asks.get("health")
        assert_refused(answer, 503, "NOT_HEALTHY")
        row = answer.json()["data"]["bridges"][0]
        assert (row["state"], row["has_room"]) == (state, False)

    @pytest.mark.parametrize(
        ("version", "said", "code"),
        [("1.26.0", "bad", 503), ("1.33.1", "warn", 200), ("1.33.2", "", 200), ("", "", 200)],
    )
    def test_a_version_that_is_known_to_be_bad_is_said(
        self, asks: Program, bridge: Bridge, version: str, said: str, code: int
    ) -> None:
        Bridge.objects.update(library="whatsapp-web.js", version=version)
        answer = asks.get("health")
        row = answer.json()["data"]["bridges"][0]
        assert (answer.status_code, row["advisory"], row["has_room"]) == (code, said, code == 200)

    def test_bridges_of_others_are_not_shown(self, asks: Program, bridge: Bridge) -> None:
        foreign = Bridge.objects.create(name="mallorys", url="http://127.0.0.1:2")
        foreign.workspaces.add(Workspace.objects.create(name="Toko Mallory"))
        assert [row["name"] for row in asks.get("health").json()["data"]["bridges"]] == ["alpha"]

    def test_redis_that_is_down_is_503(self, asks: Program, bridge: Bridge, settings: Any) -> None:
        settings.REDIS_URL = "redis://127.0.0.1:1/0"
        settings.CACHES = {
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": settings.REDIS_URL,
                "OPTIONS": {"socket_connect_timeout": 1},
            }
        }
        assert caches["default"]
        answer = asks.get("health")
        assert "Redis" in assert_refused(answer, 503, "NOT_HEALTHY")["message"]
        assert answer.json()["data"]["cache"] == "down"


class TestProbes:
    @pytest.fixture(autouse=True)
    def _not_yet_looked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health, "_migrated", False)

    def test_the_process_lives_without_a_database(self, django_assert_num_queries: Any) -> None:
        with django_assert_num_queries(0):
            assert Client().get("/healthz").json() == {"status": "ok"}

    def test_it_can_serve_and_looks_for_migrations_once(self, django_assert_num_queries: Any) -> None:
        assert Client().get("/readyz").json() == {"status": "ok"}
        with django_assert_num_queries(1):
            assert Client().get("/readyz").status_code == 200

    def test_a_migration_that_is_not_applied_is_503_until_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(health, "pending_migrations", lambda _: 1)
        assert_refused(Client().get("/readyz"), 503, "NOT_READY")
        monkeypatch.undo()
        assert Client().get("/readyz").status_code == 200

    def test_a_database_that_is_down_is_503(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def down() -> None:
            raise OperationalError("no route to 10.0.0.5")

        monkeypatch.setattr(connection, "cursor", down)
        answer = Client().get("/readyz")
        assert_refused(answer, 503, "NOT_READY")
        assert b"10.0.0.5" not in answer.content
        assert Client().get("/healthz").status_code == 200
