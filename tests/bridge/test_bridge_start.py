"""What is wrong with the settings or the engine is said at start, in words, with a non-zero exit."""

from pathlib import Path

import pytest

from bridge.engines import ENGINES, REQUIRED_METHODS, load_engine
from bridge.engines.simulated import SimulatedEngine
from bridge.errors import ConfigurationError
from bridge.settings import read_settings
from tests.support.bridge_world import Portal, environment, finished

WHOLE = {"LINKDESK_URL": "http://127.0.0.1:8000/", "HMAC_SECRET": "s", "API_KEY": "k"}


class HalfEngine:
    """Lacks what a hurried author forgets."""

    library = "half"
    version = "0"
    start = stop = close = check_options = send_text = lambda self: None


async def test_help_explains_itself(tmp_path: Path) -> None:
    code, out, _ = await finished({}, "--help")
    assert code == 0
    for word in (*WHOLE, "BRIDGE_DATA_DIR", "WEBHOOK_TIMEOUT", "LINKDESK_SIM_", "outbox retry", "sessions export"):
        assert word in out


async def test_missing_settings_are_named_all_at_once(tmp_path: Path) -> None:
    code, _, err = await finished({"BRIDGE_DATA_DIR": str(tmp_path)})
    assert code != 0
    assert all(name in err for name in WHOLE)
    assert "Traceback" not in err


async def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    code, _, err = await finished(environment(Portal(), tmp_path), "serve", "--engine", "nonesuch")
    assert code != 0
    assert "unknown engine 'nonesuch': there is simulated" in err
    assert "Traceback" not in err


def test_an_incomplete_engine_is_refused_with_what_it_lacks(tmp_path: Path) -> None:
    engines = {"half": f"{__name__}:HalfEngine", "gone": "no.such.module:Engine"}
    with pytest.raises(ConfigurationError, match="lacks: capabilities, logout, pairing_code"):
        load_engine("half", tmp_path, environ={}, engines=engines)
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        load_engine("gone", tmp_path, environ={}, engines=engines)


def test_every_engine_there_is_is_whole(tmp_path: Path) -> None:
    for name in ENGINES:
        load_engine(name, tmp_path, environ={})
    assert all(callable(getattr(SimulatedEngine, name)) for name in REQUIRED_METHODS)


async def test_the_outbox_of_a_bridge_that_never_ran_is_said_to_be_missing(tmp_path: Path) -> None:
    code, _, err = await finished({}, "outbox", "list", "--data-dir", str(tmp_path / "none"))
    assert code != 0
    assert "no outbox" in err


def test_flags_win_and_empty_variables_are_unset() -> None:
    settings = read_settings(WHOLE | {"BRIDGE_PORT": "", "BRIDGE_HOST": "0.0.0.0"}, flags={"BRIDGE_PORT": "4000"})
    assert (settings.port, settings.host) == (4000, "0.0.0.0")
    assert settings.linkdesk_url == "http://127.0.0.1:8000"
    assert settings.data_dir == Path("var/bridge")
    assert "'s'" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LINKDESK_URL", "127.0.0.1:8000"),
        ("LINKDESK_URL", "http://"),
        ("BRIDGE_PORT", "http"),
        ("BRIDGE_PORT", "70000"),
        ("BRIDGE_CAPACITY", "0"),
        ("WEBHOOK_TIMEOUT", "10000"),
        ("HEARTBEAT_EVERY", "-1"),
        ("DRAIN_WITHIN", "8000"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        read_settings(WHOLE | {name: value}, flags={})
