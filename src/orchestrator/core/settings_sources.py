"""Where settings come from: the environment with the names that it may use, and config.yaml."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, SecretStr
from pydantic_settings import BaseSettings, InitSettingsSource

from orchestrator.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo

PREFIX = "ORCHESTRATOR_"
DEFAULT_CONFIG = Path("config.yaml")
LONGEST_ECHO_CHARS = 80

# Names that the documents and the providers' own tools use.
ALIASES = {
    "REDIS_URL": "redis.url",
    "LOG_LEVEL": "telemetry.log_level",
    "OPENAI_API_KEY": "model.api_key",
    "OPENAI_BASE_URL": "model.base_url",
    "SUPABASE_URL": "auth.supabase_url",
    "SUPABASE_SERVICE_ROLE_KEY": "auth.supabase_service_role_key",
    "SUPABASE_ANON_KEY": "auth.supabase_anon_key",
    "EDGE_BASE_URL": "days.edge_base_url",
    "EDGE_SERVICE_JWT": "auth.edge_service_jwt",
}


def environment(settings: type[BaseSettings]) -> InitSettingsSource:
    """What the environment says, by our names and the aliases; an empty variable counts as not set.

    Raises:
        SettingsError: A variable is unknown, or two names for one setting have different values.
    """
    names = {variable(dotted): dotted for dotted, _ in leaves(settings)} | ALIASES
    found: dict[str, str] = {}
    said_by: dict[str, str] = {}
    for name, value in sorted(os.environ.items()):
        dotted = names.get(name) or _of_later_section(settings, name)
        if dotted is None and name.startswith(PREFIX):
            raise SettingsError(f"There is no setting {name}.{nearest(name, names)}")
        if dotted is None or not value:
            continue
        if found.setdefault(dotted, value) != value:
            raise SettingsError(
                f"{said_by[dotted]} and {name} are two names for {dotted} and have different values. "
                "Set one of them."
            )
        said_by[dotted] = name
    return InitSettingsSource(settings, nested(found))


def config_file(settings: type[BaseSettings], path: Path | None) -> InitSettingsSource:
    """What the YAML file says; None takes ``config.yaml`` here if there is one.

    Raises:
        SettingsError: The file is missing though it was asked for, unreadable, or not made of sections.
    """
    if path is None and not DEFAULT_CONFIG.exists():
        return InitSettingsSource(settings, {})
    chosen = path or DEFAULT_CONFIG
    try:
        said = yaml.safe_load(chosen.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{chosen} cannot be read: {error.strerror}.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(f"{chosen} is not valid YAML: {error.problem}{where}.") from error
    except (yaml.YAMLError, UnicodeDecodeError):
        raise SettingsError(f"{chosen} is not valid YAML: it must be text in UTF-8.") from None
    if said is None:
        said = {}
    if not isinstance(said, dict):
        raise SettingsError(f"{chosen} must hold sections such as 'server:', not a {type(said).__name__}.")
    return InitSettingsSource(settings, _sections(settings, said, chosen))


def _sections(
    model: type[BaseModel], said: Mapping[object, Any], file: Path, prefix: str = ""
) -> dict[str, Any]:
    """``said`` with empty sections filled in; a wrong one is refused before another source replaces it."""
    tree = {str(name): value for name, value in said.items()}
    for name, field in model.model_fields.items():
        section = field.annotation
        if name not in tree or not (isinstance(section, type) and issubclass(section, BaseModel)):
            continue
        inner = {} if tree[name] is None else tree[name]
        if not isinstance(inner, dict):
            raise SettingsError(
                f"{file}: {prefix}{name} is a section: it takes settings of its own, indented below it."
            )
        tree[name] = _sections(section, inner, file, f"{prefix}{name}.")
    return tree


def nested(dotted: Mapping[str, object]) -> dict[str, Any]:
    """``{"server.port": 1}`` as ``{"server": {"port": 1}}``; what is None is left out."""
    tree: dict[str, Any] = {}
    for name, value in dotted.items():
        *sections, field = name.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        if value is not None:
            branch[field] = value
    return tree


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Each single setting of ``model``, by dotted name."""
    for name, field in model.model_fields.items():
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            yield f"{prefix}{name}", field
        elif not _is_open(field.annotation):
            yield from leaves(field.annotation, f"{prefix}{name}.")


def variable(dotted: str) -> str:
    """The environment variable of a setting: ``ORCHESTRATOR_SERVER_PORT`` for ``server.port``."""
    return PREFIX + dotted.replace(".", "_").upper()


def nearest(name: str, known: Mapping[str, object]) -> str:
    """A closing sentence that suggests the closest known name, or nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]}?" if close else ""


def explain(error: ValidationError, settings: type[BaseSettings]) -> str:
    """Each wrong setting, what it was, and what it takes; secrets are never repeated."""
    fields = dict(leaves(settings))
    sentences = []
    for detail in error.errors(include_url=False):
        name = ".".join(str(part) for part in detail["loc"])
        if detail["type"] == "extra_forbidden":
            sentences.append(f"There is no setting {name}.{nearest(name, fields)}")
        elif name in fields:
            sentences.append(_wrong_value(name, fields[name], detail["input"]))
        elif detail["type"] == "value_error":
            sentences.append(f"{detail['msg'].removeprefix('Value error, ')}.")
        else:
            sentences.append(f"{name}: {detail['msg']}.")
    return "\n".join(sentences)


def _wrong_value(name: str, field: FieldInfo, value: object) -> str:
    is_secret = SecretStr in (getattr(field.annotation, "__args__", ()) or (field.annotation,))
    shown = "not right" if is_secret else repr(value)[:LONGEST_ECHO_CHARS]
    return f"{name} ({variable(name)}) is {shown}. It takes {field.description}."


def _of_later_section(settings: type[BaseSettings], name: str) -> str | None:
    for section, field in settings.model_fields.items():
        start = f"{variable(section)}_"
        if _is_open(field.annotation) and name.startswith(start):
            return f"{section}.{name.removeprefix(start).lower()}"
    return None


def _is_open(annotation: object) -> bool:
    return (
        isinstance(annotation, type)
        and issubclass(annotation, BaseModel)
        and annotation.model_config.get("extra") == "allow"
    )
