"""Everything that the service would use, looked at part by part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.app.doctor.agents import agents
from orchestrator.app.doctor.configured import configured, data_dir_alone
from orchestrator.app.doctor.data_dir import directory, disk
from orchestrator.app.doctor.databases import journal, tables
from orchestrator.app.doctor.encryption import encryption
from orchestrator.app.doctor.listening import service_or_ports
from orchestrator.app.doctor.model import model
from orchestrator.app.doctor.report import Check, Report
from orchestrator.app.doctor.shared import cluster, limits
from orchestrator.app.doctor.sign_in import sign_in
from orchestrator.app.doctor.traces import traces
from orchestrator.core.errors import SettingsError
from orchestrator.core.settings import DatabaseSettings, Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def examine(config: Path | None, overrides: Mapping[str, object]) -> Report:
    """Look at everything that the service would use with these settings."""
    try:
        settings = load_settings(config, overrides)
    except SettingsError as error:
        mend = "Correct it where it was set: on the command line, in the environment or in the file."
        broken = Check("settings", "broken", error.message, mend)
        return Report((), (broken, *_files(data_dir_alone(config, overrides), DatabaseSettings())))
    return Report(tuple(configured(settings, config, overrides)), tuple(_checks(settings)))


def _checks(settings: Settings) -> Iterator[Check]:
    yield Check("settings", "ok", "all values are valid")
    for notice in settings.notices:
        yield Check("settings", "warning", notice)
    yield from _engine(settings)
    yield from _files(settings.data_dir, settings.database)
    yield from service_or_ports(settings)
    yield sign_in(settings.auth)
    yield model(settings.model)
    yield agents(settings)
    if settings.payloads.encryption_keys is not None:
        yield encryption(settings)
    if settings.telemetry.enabled:
        yield traces(settings.telemetry.traces_endpoint)


def _engine(settings: Settings) -> Iterator[Check]:
    if settings.engine == "temporal":
        yield from cluster(settings)
        return
    yield Check("engine", "ok", "embedded: runs are kept in the data directory")
    if settings.redis.address is not None:
        yield limits(settings.redis.address)


def _files(data_dir: Path, database: DatabaseSettings) -> Iterator[Check]:
    yield directory(data_dir)
    yield disk(data_dir)
    yield journal(data_dir)
    yield tables(data_dir, database)
