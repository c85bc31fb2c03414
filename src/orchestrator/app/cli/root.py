"""The command `orchestrator` itself: its groups, its options, and how errors are told."""

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from orchestrator.app.cli import (
    audit,
    check,
    doctor,
    keys,
    lesson,
    migrate,
    migrate_engine,
    owners,
    person,
    runs,
    schedules,
    serve,
    sweep,
    token,
    worker,
)
from orchestrator.app.cli.exits import MEANINGS, ExitCode, exit_code_of
from orchestrator.app.cli.help import Command, Group
from orchestrator.app.cli.options import AsJson, examples
from orchestrator.app.cli.screen import Screen

PROGRAM = "orchestrator"
# Of new objects, between two collections of garbage. By Python's own 700 they would go through what a command
# loads again and again and find nothing, which is a fifth of its start; a service sets its own.
GC_THRESHOLD = 500_000
EXIT_CODES = "\n".join(f"  {code:>3}  [dim]{meaning}[/dim]" for code, meaning in MEANINGS.items())

root = typer.Typer(
    name=PROGRAM,
    cls=Group,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        ("orchestrator serve", "start the service: lessons and days; its address and its docs are printed"),
        ('orchestrator lesson "Photosynthesis" --materials notes.md', "write a lesson, watched live"),
        ("orchestrator runs list --status failed --json", "what went wrong, for a script"),
        ("orchestrator token --user ada", "a token to develop with, where sign-in is on"),
        ("orchestrator doctor", "when something does not work"),
    )
    + f"\n\n[bold]Exit codes[/bold]\n{EXIT_CODES}",
)
root.command("serve", cls=Command, epilog=serve.EXAMPLES)(serve.serve)
root.command("worker", cls=Command, epilog=worker.EXAMPLES)(worker.worker)
root.command("lesson", cls=Command, epilog=lesson.EXAMPLES)(lesson.lesson)
runs.group.command("check", cls=Command, epilog=check.EXAMPLES)(check.check)
runs.group.command("sweep", cls=Command, epilog=sweep.EXAMPLES)(sweep.sweep)
root.add_typer(runs.group, name="runs")
root.add_typer(schedules.group, name="schedules")
root.add_typer(keys.group, name="keys")
root.command("audit", cls=Command, epilog=audit.EXAMPLES)(audit.audit)
root.add_typer(person.group, name="person")
root.add_typer(owners.group, name="owners")
root.command("migrate", cls=Command, epilog=migrate.EXAMPLES)(migrate.migrate)
root.command("migrate-engine", cls=Command, epilog=migrate_engine.EXAMPLES)(migrate_engine.migrate_engine)
root.command("token", cls=Command, epilog=token.EXAMPLES)(token.token)
root.command("doctor", cls=Command, epilog=doctor.EXAMPLES)(doctor.doctor)


def _version_at_once(asked: bool) -> None:  # noqa: FBT001  # typer calls it so
    if asked:
        version()
        raise typer.Exit


@root.callback()
def orchestrator(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version_at_once, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Workflows that survive crashes, and what they make: lessons, and a plan for each day of learning.

    Everything is kept in one data directory (./orchestrator-data); nothing else needs to be installed.
    """
    del debug  # read from the command line by `run`, since an error may come before this is called


@root.command(cls=Command)
def version(*, as_json: AsJson = False) -> None:
    """Show the version of this program and of the Python that runs it."""
    import platform
    from importlib.metadata import version as installed

    screen = Screen()
    if as_json:
        screen.record({"version": installed(PROGRAM), "python": platform.python_version()})
    else:
        screen.line(f"{PROGRAM} {installed(PROGRAM)} (Python {platform.python_version()})")


def main() -> None:
    """Run the command line of this process, and end the process with its exit code."""
    gc.set_threshold(GC_THRESHOLD)
    code = run(sys.argv[1:])
    gc.freeze()  # or Python would look for garbage in all modules once more before it ends
    if "temporalio" in sys.modules:
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> NoReturn:
    """End the process without taking Python down: threads of Temporal's SDK that call it then abort."""
    atexit._run_exitfuncs()  # noqa: SLF001  # what else would be left undone
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody may read it any more
            stream.flush()
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; every error becomes one sentence on standard error and an exit code."""
    debug = "--debug" in arguments
    words = [word for word in arguments if word != "--debug"]
    try:
        return int(root(words, prog_name=PROGRAM, standalone_mode=False) or ExitCode.OK)
    except TyperException as error:
        return _usage(error)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return _reader_left()
    except Exception as error:  # noqa: BLE001  # the last place where an error can still be told to people
        return _failed(error, debug=debug)


def _usage(error: TyperException) -> int:
    message = error.format_message().replace(": Value error, ", ": ")  # the words of pydantic, not of people
    if message:  # without one, the help was shown instead
        context = getattr(error, "ctx", None)
        command = context.command_path if context else PROGRAM
        Screen().error(f"{_sentence(message)} Try: {command} --help")
    return error.exit_code


def _sentence(message: str) -> str:
    return message if message.endswith((".", "?", "!")) else f"{message}."


def _failed(error: Exception, *, debug: bool) -> int:
    from orchestrator.core.errors import OrchestratorError

    screen = Screen()
    if debug:
        screen.err.print_exception()
    if isinstance(error, OrchestratorError):
        screen.error(error.message)
    else:
        screen.error(
            f"{type(error).__name__}: {error}. This was not foreseen; `{PROGRAM} --debug …` shows where it "
            "happened."
        )
    return exit_code_of(error)


def _reader_left() -> int:
    """Whoever read our output, such as `head`, has seen enough."""
    import os

    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.OK
