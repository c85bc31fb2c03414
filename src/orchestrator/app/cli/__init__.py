"""The command line: one file per group of commands, and the few things that all of them share."""

from __future__ import annotations

from orchestrator.app.cli.root import main

__all__ = ["main"]
