"""Every setting as it holds now, and who said so."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, SecretStr

from orchestrator.app.doctor.report import Setting
from orchestrator.core.errors import SettingsError
from orchestrator.core.settings import Settings
from orchestrator.core.settings_sources import ALIASES, config_file, leaves, variable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OF_A_CLUSTER = ("temporal.", "worker.")  # used with engine temporal alone
MASKED = "********"


def configured(settings: Settings, config: Path | None, overrides: Mapping[str, object]) -> Iterator[Setting]:
    """All settings, secrets masked."""
    said_in_file = dict(_flat(config_file(Settings, config)()))
    unused = () if settings.engine == "temporal" else OF_A_CLUSTER
    for name, _ in leaves(Settings):
        source = _source(name, said_in_file, overrides, config)
        yield Setting(name, _shown(_value(settings, name)), source, not name.startswith(unused))


def data_dir_alone(config: Path | None, overrides: Mapping[str, object]) -> Path:
    """The data directory, of whatever else is wrong with the settings."""
    said_in_file: Mapping[str, object] = {}
    with suppress(SettingsError):
        said_in_file = config_file(Settings, config)()
    name = "data_dir"
    chosen = overrides.get(name) or os.environ.get(variable(name)) or said_in_file.get(name)
    return Path(str(chosen)) if chosen else Settings().data_dir


def _source(
    name: str, said_in_file: Mapping[str, object], overrides: Mapping[str, object], config: Path | None
) -> str:
    if overrides.get(name) is not None:
        return "command line"
    names = (variable(name), *(alias for alias, setting in ALIASES.items() if setting == name))
    found = [candidate for candidate in names if os.environ.get(candidate)]
    if found:
        return f"environment: {', '.join(found)}"
    return f"file: {config or 'config.yaml'}" if name in said_in_file else "default"


def _value(settings: BaseModel, dotted: str) -> object:
    value: object = settings
    for part in dotted.split("."):
        value = getattr(value, part)
    return value


def _shown(value: object) -> str:
    if value is None:
        return "not set"
    return MASKED if isinstance(value, SecretStr) else str(value)


def _flat(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
