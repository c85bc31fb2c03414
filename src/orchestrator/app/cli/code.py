"""The code that a command looks at: the service's own, or that of modules which are named."""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.core.settings import Settings
    from orchestrator.durable.workflows import Workflow

Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--module",
        metavar="MODULE",
        help="A module with your workflows, such as my_app.workflows, in place of the service's own. "
        "May be repeated; the current folder is searched first.",
    ),
]


@dataclass(frozen=True, slots=True)
class Code:
    """Workflows with their steps; None is whatever steps they ask for."""

    workflows: tuple[Workflow[Any, Any], ...]
    steps: tuple[object, ...] | None


def code_at_hand(settings: Settings, modules: Sequence[str]) -> Code:
    """What these modules hold, or what the service would run.

    Raises:
        InvalidInputError: a module cannot be imported, or holds no workflow.
    """
    if modules:
        found = {id(flow): flow for name in modules for flow in _workflows_of(name)}
        # An engine may be given steps that these modules do not hold.
        return Code(tuple(found.values()), None)
    from orchestrator.app.wiring import code_of

    rooms = code_of(settings)
    return Code(
        tuple(workflow for room in rooms for workflow in room.workflows),
        tuple(step for room in rooms for step in room.steps),
    )


def _workflows_of(name: str) -> list[Workflow[Any, Any]]:
    from orchestrator.core.errors import InvalidInputError
    from orchestrator.durable.workflows import Workflow

    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(name)
    except Exception as error:  # whatever a module of somebody's raises
        raise InvalidInputError(
            f"The module {name} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    found = [value for value in vars(module).values() if isinstance(value, Workflow)]
    if not found:
        raise InvalidInputError(f"The module {name} has no workflow: no function with @workflow.")
    return found
