"""The available engines, and the check that an engine is complete."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import cast

from bridge.engines.base import Engine
from bridge.errors import ConfigurationError

# Engines are named by string, so that an engine's library is imported only when the engine is used.
ENGINES: Mapping[str, str] = {
    "simulated": "bridge.engines.simulated:SimulatedEngine",
}

REQUIRED_ATTRIBUTES = ("library", "version", "capabilities")
REQUIRED_METHODS = ("check_options", "start", "stop", "logout", "pairing_code", "send_text", "close")


def load_engine(
    name: str, data_dir: Path, *, environ: Mapping[str, str], engines: Mapping[str, str] = ENGINES
) -> Engine:
    """Load an engine. Raises ConfigurationError at start, and not when the first person scans."""
    if name not in engines:
        raise ConfigurationError(f"unknown engine {name!r}: there is {', '.join(sorted(engines))}")
    module_name, _, class_name = engines[name].partition(":")
    try:
        engine_class = getattr(import_module(module_name), class_name)
    except ImportError as error:
        raise ConfigurationError(f"engine {name!r} cannot be loaded: {error}") from error
    missing = missing_parts(engine_class)
    if missing:
        raise ConfigurationError(f"engine {name!r} is incomplete, it lacks: {', '.join(missing)}")
    return cast(Engine, engine_class(data_dir, environ=environ))


def missing_parts(engine_class: type) -> list[str]:
    attributes = [name for name in REQUIRED_ATTRIBUTES if not hasattr(engine_class, name)]
    methods = [name for name in REQUIRED_METHODS if not callable(getattr(engine_class, name, None))]
    return attributes + methods
