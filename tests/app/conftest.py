"""What the tests of the top floor share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from orchestrator.core.settings_sources import ALIASES, PREFIX
from support.command import CommandLine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIX) or name in ALIASES:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def orchestrator(tmp_path: Path) -> CommandLine:
    """The command, in a folder of its own, with nothing configured."""
    return CommandLine(tmp_path)
