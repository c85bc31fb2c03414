"""The data directory: one process has it, and says where it answers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from orchestrator.app.data_dir import SERVICE_FILE, Service, claimed, serving
from orchestrator.core.errors import ConflictError, SettingsError

if TYPE_CHECKING:
    from pathlib import Path


def test_whoever_has_the_directory_is_found_with_address_and_secret(tmp_path: Path) -> None:
    """Other processes of the user learn who serves, where, and what proves them to be that user."""
    with claimed(tmp_path) as claim:
        assert serving(tmp_path) == Service(os.getpid())
        claim.announce("http://127.0.0.1:4711")
        assert serving(tmp_path) == Service(os.getpid(), "http://127.0.0.1:4711", claim.token)
    assert serving(tmp_path) is None


def test_a_second_claim_is_refused_by_pid_and_address(tmp_path: Path) -> None:
    """The refusal names who has the directory and says what to do."""
    with claimed(tmp_path) as claim:
        claim.announce("http://127.0.0.1:4711")
        with (
            pytest.raises(ConflictError, match=rf"pid {os.getpid()}, which serves http://127.0.0.1:4711"),
            claimed(tmp_path),
        ):
            pass
        assert serving(tmp_path) is not None
    with claimed(tmp_path):
        """Free again."""


def test_an_address_that_a_dead_process_left_is_not_believed(tmp_path: Path) -> None:
    """Without a held lock the address file says nothing; with one, it must be of the lock's holder."""
    left = '{"pid": 1, "address": "http://127.0.0.1:1", "token": "old"}'
    (tmp_path / SERVICE_FILE).write_text(left)
    assert serving(tmp_path) is None
    with claimed(tmp_path):
        assert serving(tmp_path) == Service(os.getpid())


def test_only_the_owner_may_enter_and_read(tmp_path: Path) -> None:
    """The directory is made for its owner alone, and so is the file with the secret."""
    folder = tmp_path / "deep" / "data"
    with claimed(folder) as claim:
        claim.announce("http://127.0.0.1:4711")
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / SERVICE_FILE).stat().st_mode & 0o777 == 0o600


def test_a_directory_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    """A file in the way is a wrong setting, told with what to do."""
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(SettingsError, match=r"cannot be made.*--data-dir"),
        claimed(tmp_path / "file" / "data"),
    ):
        pass
