"""How a command ends: the exit codes, all in this one place, and which error leads to which."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell is told. A script may rely on these numbers; docs/cli.md lists them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    UNAVAILABLE = 5
    MISFIT = 6
    INTERRUPTED = 130  # 128 + SIGINT, as shells have it

    @property
    def meaning(self) -> str:
        """One line for the help and for docs/cli.md."""
        return MEANINGS[self]


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "it was tried and failed, or a check of `doctor` found something broken",
    ExitCode.USAGE: "the command line, a setting or the input is not valid; nothing was done",
    ExitCode.NOT_FOUND: "there is no such run, session, schedule or key",
    ExitCode.CONFLICT: "something is in the way: the data directory or the port is in use, or a file exists, "
    "or the run has ended",
    ExitCode.UNAVAILABLE: "a service that is needed cannot be reached right now; try again later",
    ExitCode.MISFIT: "`runs check` found open runs that do not fit the code, `migrate --check` tables that "
    "are not of this version, or `migrate-engine` left what cannot be moved",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C; what was recorded is kept and can go on",
}


def exit_code_of(error: BaseException) -> ExitCode:
    """The exit code that ``error`` leads to."""
    from orchestrator.core.errors import (
        ConflictError,
        InvalidInputError,
        NotFoundError,
        RetryableError,
        SettingsError,
    )

    for kinds, code in (
        ((InvalidInputError, SettingsError), ExitCode.USAGE),
        ((NotFoundError,), ExitCode.NOT_FOUND),
        ((ConflictError,), ExitCode.CONFLICT),
        ((RetryableError,), ExitCode.UNAVAILABLE),
    ):
        if isinstance(error, kinds):
            return code
    return ExitCode.FAILED
