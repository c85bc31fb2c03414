"""`orchestrator person` and `orchestrator owners`: a person's things in a file, gone, or somebody else's."""

from __future__ import annotations

import json
import logging
import zipfile
from typing import TYPE_CHECKING

import pytest
import structlog

from orchestrator.app.cli.exits import ExitCode
from orchestrator.app.cli.root import run
from orchestrator.app.data_dir import TABLES_FILE
from orchestrator.app.persons.rows import Rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


class Commands:
    """Commands on one data directory, with no service on it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data_dir = folder / "data"
        self._capsys = capsys
        self.said = ""

    def __call__(self, *arguments: str, code: ExitCode = ExitCode.OK) -> list[str]:
        """What it writes on standard output; what it says beside that is ``said``."""
        assert run([*arguments, "--data-dir", str(self.data_dir)]) == code
        written = self._capsys.readouterr()
        self.said = " ".join(written.err.split())
        return written.out.splitlines()


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    """A command that is the service for a while logs into its data directory."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def orchestrated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Commands:
    """A data directory in which ada-6b1f has an API key, and in dev mode another was made."""
    commands = Commands(tmp_path, capsys)
    for user in ("ada-6b1f", "local"):
        commands("keys", "create", "backup", "--user", user, "--scope", "lessons")
    return commands


def test_a_part_of_an_export_is_not_kept(
    orchestrated: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the service fails in the midst of it, there is no file that looks like one."""

    async def broken(*_: object) -> AsyncIterator[tuple[str, dict[str, str]]]:
        yield "api_keys", {"id": "1"}
        raise RuntimeError("the disk is on fire")

    monkeypatch.setattr(Rows, "all", broken)
    file = tmp_path / "ada.zip"
    orchestrated("person", "export", "ada-6b1f", "--out", str(file), code=ExitCode.UNAVAILABLE)
    assert "The service stopped in the midst of the export" in orchestrated.said
    assert not file.exists()


def test_a_person_is_exported_and_erased(orchestrated: Commands, tmp_path: Path) -> None:
    """The file is its owner's alone and never replaced; what is gone is counted, and gone from the disk."""
    file = tmp_path / "ada.zip"
    export = ("person", "export", "ada-6b1f", "--out", str(file))
    assert orchestrated(*export) == [str(file)]
    assert file.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(file) as archive:
        assert json.loads(archive.read("about.json"))["user"] == "ada-6b1f"
        (key,) = archive.read("tables/api_keys.jsonl").splitlines()
    assert (json.loads(key)["name"], json.loads(key)["sha256"]) == ("backup", "[secret]")
    orchestrated(*export, code=ExitCode.CONFLICT)
    assert f"{file} is there already. Give another --out." in orchestrated.said

    orchestrated("person", "erase", "ada-6b1f", code=ExitCode.USAGE)
    assert "it cannot be undone; say that you mean it" in orchestrated.said
    assert b"ada-6b1f" in (orchestrated.data_dir / TABLES_FILE).read_bytes()

    assert orchestrated("person", "erase", "ada-6b1f", "--yes") == ["      1  rows of api_keys"]
    assert "backups that you made" in orchestrated.said
    assert "free room" not in orchestrated.said
    for path in orchestrated.data_dir.rglob("*"):
        assert path.is_dir() or b"ada-6b1f" not in path.read_bytes(), path
    orchestrated("person", "export", "ada-6b1f", "--out", str(tmp_path / "nothing.zip"))
    assert "Nothing is held about ada-6b1f." in orchestrated.said
    (again,) = orchestrated("person", "erase", "ada-6b1f", "--yes", "--json")
    assert json.loads(again)["tables"] == {}


def test_a_name_that_is_misspelt_erases_nothing_and_says_so(orchestrated: Commands) -> None:
    """Nobody is left to believe that somebody was erased."""
    assert orchestrated("person", "erase", "ada-6b1g", "--yes") == []
    assert orchestrated.said == (
        "Nothing was found of ada-6b1g, so nothing was erased. A user is called as the tokens' `sub` says it."
    )


def test_what_was_made_in_dev_mode_is_handed_over(orchestrated: Commands) -> None:
    """The second time there is nothing left to hand over."""
    move = ("owners", "move", "--from", "local", "--to", "ada-6b1f")
    assert orchestrated(*move) == ["      1  rows of api_keys"]
    assert orchestrated(*move) == []
    assert orchestrated.said == "local has nothing that could go to ada-6b1f."
    keys = [json.loads(line) for line in orchestrated("keys", "list", "--json")]
    assert {key["user"] for key in keys} == {"ada-6b1f"}
