"""The command itself: help that teaches, errors in a sentence, exit codes, a quick start."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.app.cli.exits import MEANINGS, ExitCode, exit_code_of
from orchestrator.app.cli.root import run
from orchestrator.core import errors
from support import services

if TYPE_CHECKING:
    from support.command import CommandLine

COMMANDS = (
    ["serve"],
    ["lesson"],
    ["runs"],
    ["runs", "list"],
    ["runs", "show"],
    ["runs", "events"],
    ["runs", "cancel"],
    ["runs", "check"],
    ["runs", "sweep"],
    ["runs", "fork"],
    ["schedules"],
    ["schedules", "list"],
    ["schedules", "pause"],
    ["schedules", "resume"],
    ["schedules", "run-now"],
    ["doctor"],
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_shows_examples(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Help says what to type, with the command itself in it."""
    assert run([*command, "--help"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert "Examples" in shown
    assert f"orchestrator {' '.join(command)}" in shown.partition("Examples")[2]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_words_and_whole_paragraphs(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No signs of the library for types, and lines broken only where the terminal ends."""
    monkeypatch.setenv("COLUMNS", "70")
    assert run([*command, "--help"]) == ExitCode.OK
    shown = capsys.readouterr().out
    for sign in ("<bool>", "[[", "{"):
        assert sign not in shown
    lines = [line.strip() for line in shown.partition("╭")[0].splitlines()]
    for line, following in pairwise(lines):
        first_word = following.split(" ")[0]
        assert not line or not following or len(f"{line} {first_word}") > 68


def test_the_help_lists_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    """A script's author finds the codes where they look first."""
    assert run(["--help"]) == ExitCode.OK
    shown = " ".join(capsys.readouterr().out.split())
    for code, meaning in MEANINGS.items():
        assert f"{code:d} {meaning}" in shown


def test_the_documentation_lists_the_same_exit_codes() -> None:
    """docs/cli.md cannot fall behind."""
    text = (Path(__file__).parents[3] / "docs" / "cli.md").read_text()
    listed = re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE)
    assert listed == [(f"{code:d}", meaning) for code, meaning in MEANINGS.items()]


def test_version_for_people_and_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    """The installed version, as a line or as JSON."""
    assert run(["version"]) == run(["version", "--json"]) == ExitCode.OK
    assert run(["--version"]) == ExitCode.OK
    for_people, for_scripts, by_option = capsys.readouterr().out.splitlines()
    assert for_people.startswith(f"orchestrator {version('orchestrator')} ")
    assert by_option == for_people
    assert json.loads(for_scripts)["version"] == version("orchestrator")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["frob"], ExitCode.USAGE, "No such command 'frob'"),
        (["serve", "--prot", "1"], ExitCode.USAGE, "No such option: --prot"),
        (["serve", "--port", "99999"], ExitCode.USAGE, "server.port (ORCHESTRATOR_SERVER_PORT) is 99999"),
        (["serve", "--no-workers", "--port", "0"], ExitCode.USAGE, "Set engine to temporal"),
        (["token", "--role", "god"], ExitCode.USAGE, "Invalid value for '--role': 'god' is not one of"),
        (["worker"], ExitCode.USAGE, "A worker shares its work with other processes"),
        (["serve", "--host", "0.0.0.0"], ExitCode.USAGE, "other machines can reach"),  # noqa: S104  # refused
        (["serve", "--config", "absent.yaml"], ExitCode.USAGE, "absent.yaml cannot be read"),
        (["frob"], ExitCode.USAGE, "'frob'. Try: orchestrator --help"),
        (["lesson"], ExitCode.USAGE, "give either a TOPIC or --resume ID. Try: orchestrator lesson --help"),
        (["lesson", " "], ExitCode.USAGE, "TOPIC: it is empty"),
        (
            ["lesson", "Tides", "-o", "/dev/null/tides"],
            ExitCode.CONFLICT,
            "/dev/null is a file, not a folder",
        ),
        (["lesson", "Tides", "-m", "absent.md"], ExitCode.USAGE, "absent.md cannot be read"),
        (["runs", "list", "--status", "happy"], ExitCode.USAGE, "happy is none of pending, running"),
        (["runs", "show", "none"], ExitCode.NOT_FOUND, "there is no journal"),
        (["runs", "check"], ExitCode.NOT_FOUND, "there is no journal"),
        (["runs", "sweep"], ExitCode.NOT_FOUND, "there is no journal"),
        (["runs", "sweep", "--older-than", "soon"], ExitCode.USAGE, "'soon' is no time such as 90s, 30m"),
        (["runs", "check", "--module", "absent_app"], ExitCode.USAGE, "absent_app cannot be imported"),
        (["runs", "check", "--module", "json"], ExitCode.USAGE, "json has no workflow"),
    ],
)
def test_an_error_is_one_sentence_and_a_code(
    arguments: list[str], code: ExitCode, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is wrong stands on standard error, in words, without a traceback; standard output stays empty."""
    assert run(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert " ".join(err.split()).startswith("Error: ")
    assert said in " ".join(err.split())
    assert "Traceback" not in err


def test_debug_adds_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """Who looks for the cause gets all of it, wherever the option stands."""
    assert run(["serve", "--port", "99999", "--debug"]) == ExitCode.USAGE
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidInputError(), ExitCode.USAGE),
        (errors.NotFoundError(), ExitCode.NOT_FOUND),
        (errors.ConflictError(), ExitCode.CONFLICT),
        (errors.UnavailableError(), ExitCode.UNAVAILABLE),
        (errors.InternalError(), ExitCode.FAILED),
        (RuntimeError(), ExitCode.FAILED),
    ],
)
def test_each_kind_of_error_has_its_code(error: Exception, code: ExitCode) -> None:
    """Scripts can tell kinds of failure apart."""
    assert exit_code_of(error) is code


@pytest.mark.acceptance
def test_the_command_line_starts_without_heavy_libraries() -> None:
    """Help and completion answer at once, because nothing large is imported before it is needed."""
    heavy = {"pydantic", "fastapi", "sqlalchemy", "httpx2", "openai", "uvicorn", "structlog", "PIL"}
    program = "import sys, orchestrator.app.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert heavy & set(loaded.stdout.split()) == set()


@pytest.mark.acceptance
def test_shells_can_complete(orchestrator: CommandLine) -> None:
    """The script that a shell loads is there, and the completion it asks for answers."""
    # The shell is known by the parent process; `:` keeps bash from becoming the command itself.
    shown = subprocess.run(
        ["bash", "-c", f"'{services.COMMANDS / 'orchestrator'}' --show-completion; :"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "_ORCHESTRATOR_COMPLETE" in shown.stdout
    asked = {"_ORCHESTRATOR_COMPLETE": "complete_bash", "COMP_WORDS": "orchestrator le", "COMP_CWORD": "1"}
    orchestrator.environment.update(asked)
    assert orchestrator().stdout.split() == ["lesson"]


@pytest.mark.acceptance
def test_output_into_a_closed_pipe_ends_quietly(orchestrator: CommandLine) -> None:
    """``orchestrator … | head -0`` is no error worth a traceback."""
    with orchestrator.started("doctor", "--all") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.wait()
        assert process.stderr.read() == ""


COUNTED = """
import atexit, gc, sys
from orchestrator.app.cli import main

def collections():
    return sum(generation["collections"] for generation in gc.get_stats())

before = collections()
atexit.register(lambda: print("collections:", collections() - before))
sys.argv = ["orchestrator", "doctor"]
main()
"""


@pytest.mark.acceptance
def test_no_garbage_is_looked_for_while_a_command_loads(orchestrator: CommandLine) -> None:
    """There is none among modules, and hundreds of looks would be a third of its start."""
    with orchestrator.program(sys.executable, "-c", COUNTED) as process:
        output, errors = process.communicate()

    assert output.endswith("collections: 0\n"), errors
