"""What is configured, what can be reached, what is wrong, and how to mend it.

Nothing is changed: files are opened for reading, ports are tried and let go, and the one outgoing call
asks the model's provider for its list of models, which costs nothing.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import httpx2
from pydantic import BaseModel, SecretStr

from orchestrator.app import doctor_agents, doctor_sign_in
from orchestrator.app.data_dir import JOURNAL_FILE, TABLES_FILE, serving
from orchestrator.app.doctor_cluster import reached
from orchestrator.app.encryption import encryption_of
from orchestrator.core.errors import OrchestratorError, SettingsError, UnavailableError
from orchestrator.core.settings import AuthSettings, DatabaseSettings, ServerSettings, Settings, load_settings
from orchestrator.core.settings.auth import WHAT_TO_SET
from orchestrator.core.settings_sources import ALIASES, config_file, leaves, variable
from orchestrator.db import Database, Migration
from orchestrator.db.file import revision_of
from orchestrator.journal.journal import open_for_reading
from orchestrator.journal.lock import holder_of
from orchestrator.journal.schema import APPLICATION_ID, MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Verdict = Literal["ok", "warning", "broken"]

MEGABYTE = 1_000_000
TOO_LITTLE_DISK_BYTES = 100 * MEGABYTE  # the journal would soon refuse new runs
LITTLE_DISK_BYTES = 1_000 * MEGABYTE
LARGEST_CHECKED_BYTES = 1_000 * MEGABYTE  # a whole check of more would take minutes
OTHERS_MAY_READ = 0o077
OPENAI_ADDRESS = "https://api.openai.com/v1"
PROBE_TIMEOUT_S = 5.0
OF_A_CLUSTER = ("temporal.", "worker.")  # used with engine temporal alone
MASKED = "********"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it holds now, secrets masked, and who said so (``default`` when nobody did).

    ``used`` is False where there is no such part, in this version or with this engine.
    """

    name: str
    value: str
    source: str
    used: bool


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. ``mend`` says what to do where something is not as it should be."""

    name: str
    verdict: Verdict
    detail: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that the doctor found."""

    settings: tuple[Setting, ...]
    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing is broken; warnings are no illness."""
        return all(check.verdict != "broken" for check in self.checks)


def examine(config: Path | None, overrides: Mapping[str, object]) -> Report:
    """Look at everything that the service would use with these settings."""
    try:
        settings = load_settings(config, overrides)
    except SettingsError as error:
        mend = "Correct it where it was set: on the command line, in the environment or in the file."
        broken = Check("settings", "broken", error.message, mend)
        return Report((), (broken, *_files(_data_dir_alone(config, overrides), DatabaseSettings())))
    return Report(tuple(_configured(settings, config, overrides)), tuple(_checks(settings)))


# -- settings ----------------------------------------------------------------------------------------


def _configured(
    settings: Settings, config: Path | None, overrides: Mapping[str, object]
) -> Iterator[Setting]:
    said_in_file = dict(_flat(config_file(Settings, config)()))
    unused = () if settings.engine == "temporal" else OF_A_CLUSTER
    for name, _ in leaves(Settings):
        source = _source(name, said_in_file, overrides, config)
        yield Setting(name, _shown(_value(settings, name)), source, not name.startswith(unused))


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


# -- checks ------------------------------------------------------------------------------------------


def _checks(settings: Settings) -> Iterator[Check]:
    yield Check("settings", "ok", "all values are valid")
    for notice in settings.notices:
        yield Check("settings", "warning", notice)
    yield from _engine(settings)
    yield from _files(settings.data_dir, settings.database)
    yield from _service_or_ports(settings)
    yield _sign_in(settings.auth)
    yield _model(settings)
    yield _agents(settings)
    if settings.payloads.encryption_keys is not None:
        yield _encryption(settings)
    if settings.telemetry.enabled:
        yield _traces(settings.telemetry.traces_endpoint)


def _files(data_dir: Path, database: DatabaseSettings) -> Iterator[Check]:
    yield _directory(data_dir)
    yield _disk(data_dir)
    yield _journal(data_dir / JOURNAL_FILE)
    yield _tables_file(data_dir / TABLES_FILE) if database.postgres is None else _postgres(database)


def _data_dir_alone(config: Path | None, overrides: Mapping[str, object]) -> Path:
    """The data directory, of whatever else is wrong with the settings."""
    said_in_file: Mapping[str, object] = {}
    with suppress(SettingsError):
        said_in_file = config_file(Settings, config)()
    name = "data_dir"
    chosen = overrides.get(name) or os.environ.get(variable(name)) or said_in_file.get(name)
    return Path(str(chosen)) if chosen else Settings().data_dir


def _engine(settings: Settings) -> Iterator[Check]:
    if settings.engine == "embedded":
        yield Check("engine", "ok", "embedded: runs are kept in the data directory")
        return
    cluster = settings.temporal
    found = {
        "engine": f"temporal: {cluster.host_port}, namespace {cluster.namespace}",
        "streams": "Redis answers",
    }
    for name, trouble, mend in reached(settings):
        yield Check(name, "broken", trouble, mend) if trouble else Check(name, "ok", found[name])


def _encryption(settings: Settings) -> Check:
    name = "encryption"
    try:
        encryption = encryption_of(settings)
    except SettingsError as error:
        return Check(name, "broken", error.message, "Correct it, or nothing can be started.")
    current, *older = encryption.keys if encryption else ("",)
    read = f"; key {', '.join(older)} is read too" if older else ""
    return Check(name, "ok", f"what runs record is encrypted with key {current}{read}")


def _directory(data_dir: Path) -> Check:
    name = "data directory"
    if not data_dir.exists():
        parent = _nearest(data_dir)
        if os.access(parent, os.W_OK | os.X_OK):
            return Check(name, "ok", f"{data_dir} will be made at the first start")
        return Check(
            name, "broken", f"{data_dir} cannot be made in {parent}", "Give another with --data-dir."
        )
    if not data_dir.is_dir() or not os.access(data_dir, os.R_OK | os.W_OK | os.X_OK):
        return Check(name, "broken", f"{data_dir} cannot be written", "Give another with --data-dir.")
    if data_dir.stat().st_mode & OTHERS_MAY_READ:
        mend = f"chmod 700 {data_dir}"
        return Check(name, "warning", f"{data_dir} can be entered by other users of this machine", mend)
    return Check(name, "ok", str(data_dir.resolve()))


def _disk(data_dir: Path) -> Check:
    free = shutil.disk_usage(_nearest(data_dir)).free
    detail = f"{free / MEGABYTE:,.0f} MB free"
    mend = "Free some space, or move the data directory to a larger disk."
    if free < TOO_LITTLE_DISK_BYTES:
        return Check("disk", "broken", detail, mend)
    return Check("disk", "warning", detail, mend) if free < LITTLE_DISK_BYTES else Check("disk", "ok", detail)


def _nearest(path: Path) -> Path:
    """``path`` itself, or the closest directory above that exists."""
    resolved = path.resolve()
    return next(candidate for candidate in (resolved, *resolved.parents) if candidate.exists())


def _journal(path: Path) -> Check:
    if not path.exists():
        return Check("journal", "ok", "not there yet; the first start makes it")
    holder = holder_of(path.with_name(f"{path.name}.lock"))
    held = f"held by pid {holder}" if holder else "held by nobody"
    try:
        with closing(open_for_reading(path)) as connection:
            wrong = _wrong_owner(connection) or _damage(connection, path)
            if wrong:
                return Check("journal", "broken", f"{path}: {wrong}", _mend_file(path))
            counted = dict(connection.execute("SELECT status, count(*) FROM runs GROUP BY status"))
    except (sqlite3.Error, OrchestratorError) as error:
        return Check("journal", "broken", f"{path}: {error}", _mend_file(path))
    runs = ", ".join(f"{count:,} {status}" for status, count in sorted(counted.items())) or "no runs yet"
    if counted.get("stuck"):
        mend = "`orchestrator runs list --status stuck` names them, `orchestrator runs show ID` says why."
        return Check("journal", "warning", f"sound, {held}; {runs}", mend)
    return Check("journal", "ok", f"sound, {held}; {runs}")


def _postgres(settings: DatabaseSettings) -> Check:
    name = "tables"
    try:
        database = Database.of(settings, Path())
        found, notices = asyncio.run(_looked_at(database))
    except UnavailableError as error:
        return Check(name, "broken", error.message, "Start the server, or correct database.url.")
    except SettingsError as error:
        return Check(name, "broken", error.message)
    if not found.changes and notices:
        return Check(name, "warning", f"{database}, at {found.after}. {' '.join(notices)}")
    if not found.changes:
        return Check(name, "ok", f"{database}, at {found.after}")
    at = f"its tables are at {found.before}" if found.before else "it has no tables yet"
    mend = "The next start brings them to this version; so does `orchestrator migrate`."
    return Check(name, "ok", f"{database}: {at}", mend)


async def _looked_at(database: Database) -> tuple[Migration, tuple[str, ...]]:
    """What the tables lack, and what of them works and is not as safe as it could be."""
    found = await database.pending()
    return found, () if found.changes else await database.notices()


def _tables_file(path: Path) -> Check:
    if not path.exists():
        return Check("tables", "ok", "not there yet; the first start makes them")
    try:
        revision_of(path)
        with closing(open_for_reading(path)) as connection:
            wrong = _damage(connection, path)
    except SettingsError as error:
        return Check("tables", "broken", error.message, _mend_file(path))
    except (sqlite3.Error, OrchestratorError) as error:
        wrong = str(error)
    if wrong:
        return Check("tables", "broken", f"{path}: {wrong}", _mend_file(path))
    return Check("tables", "ok", "sound")


def _wrong_owner(connection: sqlite3.Connection) -> str:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        return "it is a file of another program"
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(MIGRATIONS):
        return f"a newer version of this program wrote it (file version {version})"
    return ""


def _damage(connection: sqlite3.Connection, path: Path) -> str:
    if path.stat().st_size > LARGEST_CHECKED_BYTES:
        return ""
    found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    return "" if found == "ok" else f"damaged: {found}"


def _mend_file(path: Path) -> str:
    return f"Put back a copy of it, or move it away to begin anew: mv {path} {path}.broken"


def _service_or_ports(settings: Settings) -> Iterator[Check]:
    service = serving(settings.data_dir)
    if service is None:
        yield _port("port", settings.server.host, settings.server.port, "--port")
        if settings.server.enable_metrics:
            yield _metrics_port(settings.server)
    elif not service.address:
        yield Check("service", "warning", f"pid {service.pid} has the data directory and does not answer yet")
    else:
        yield _health(service.address, service.pid)


def _health(address: str, pid: int) -> Check:
    try:
        answer = httpx2.get(f"{address}/health", timeout=PROBE_TIMEOUT_S, trust_env=False)
        said = answer.json()["status"]
    except (httpx2.HTTPError, ValueError, KeyError) as error:
        mend = f"Look at the output of process {pid}; stop it with `kill {pid}` if it hangs."
        return Check("service", "broken", f"pid {pid} at {address} does not answer: {error}", mend)
    verdict: Verdict = "ok" if said == "healthy" else "warning"
    mend = "" if verdict == "ok" else f"{address}/health says which part it is."
    return Check("service", verdict, f"running as pid {pid} at {address}, {said}", mend)


def _port(name: str, host: str, port: int, option: str) -> Check:
    mend = f"Stop the program that uses it, or choose another with {option} (0 takes any free one)."
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the service itself does
            probe.bind(address)
    except OSError as error:
        return Check(name, "broken", f"{host}:{port} cannot be used: {error.strerror}", mend)
    return Check(name, "ok", f"{host}:{port} is free")


def _metrics_port(server: ServerSettings) -> Check:
    check = _port("metrics port", server.host, server.metrics_port, variable("server.metrics_port"))
    if check.verdict == "broken" and "metrics_port" not in server.model_fields_set:
        return replace(check, verdict="warning", detail=f"{check.detail}; metrics will not be served")
    return check


def _sign_in(auth: AuthSettings) -> Check:
    detail, mend = doctor_sign_in.trouble(auth)
    if detail:
        return Check("sign-in", "broken", detail, mend)
    return Check(
        "sign-in", "ok", auth.told, "" if auth.is_on else f"To serve other machines, set {WHAT_TO_SET}."
    )


def _agents(settings: Settings) -> Check:
    verdict, detail, mend = doctor_agents.found(settings)
    return Check("agents", verdict, detail, mend)


def _model(settings: Settings) -> Check:
    model = settings.model
    if not model.is_configured:
        detail = "none configured: the offline composer writes lessons, rules plan days, and both say so"
        return Check("model", "ok", detail, "For a real model, set OPENAI_API_KEY or OPENAI_BASE_URL.")
    address = (model.base_url or OPENAI_ADDRESS).rstrip("/")
    key = {"Authorization": f"Bearer {model.api_key.get_secret_value()}"} if model.api_key else {}
    try:
        answer = httpx2.get(f"{address}/models", headers=key, timeout=PROBE_TIMEOUT_S)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        mend = "Check the address in model.base_url (OPENAI_BASE_URL) and that the provider runs."
        return Check("model", "broken", f"{address} cannot be reached: {error}", mend)
    return _judged(answer, address, model.name)


def _judged(answer: httpx2.Response, address: str, name: str) -> Check:
    if answer.status_code in {401, 403}:
        mend = "Check model.api_key (OPENAI_API_KEY)."
        return Check("model", "broken", f"{address} refuses the key (HTTP {answer.status_code})", mend)
    if not answer.is_success:
        detail = f"{address} answers, though not to a question for its models (HTTP {answer.status_code})"
        return Check("model", "warning", detail, "Check that the address ends as the provider says (/v1).")
    try:
        offered = {str(entry["id"]) for entry in answer.json()["data"]}
    except (ValueError, KeyError, TypeError):
        offered = set()
    if name not in offered:
        mend = "Set model.name (ORCHESTRATOR_MODEL_NAME) to one that it offers."
        some = ", ".join(sorted(offered)[:3]) or "none"
        return Check("model", "warning", f"{address} does not list {name} (it lists {some})", mend)
    return Check("model", "ok", f"{name} at {address}")


def _traces(endpoint: str) -> Check:
    place = urlsplit(endpoint)
    port = place.port or (443 if place.scheme == "https" else 80)
    try:
        socket.create_connection((place.hostname or "", port), PROBE_TIMEOUT_S).close()
    except OSError as error:
        mend = "Start the collector, correct telemetry.otlp_endpoint, or set telemetry.enabled to false."
        return Check("traces", "warning", f"{endpoint} cannot be reached: {error}", mend)
    return Check("traces", "ok", f"sent to {endpoint}")
