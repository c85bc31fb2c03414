"""Names that users choose, and those that are an engine's own."""

from __future__ import annotations

from typing import Final

from orchestrator.core.errors import InvalidInputError

# What begins so is an engine's own: on a cluster it keeps workflows, signals and activities of its own.
RESERVED: Final = "orchestrator:"


def chosen(name: str, what: str) -> str:
    """``name`` itself, if ``what`` may be called so.

    Raises:
        InvalidInputError: it begins as the engine's own names do.
    """
    if name.startswith(RESERVED):
        raise InvalidInputError(
            f"{what} {name!r}: names that begin with {RESERVED!r} are the engine's own; choose another one"
        )
    return name
