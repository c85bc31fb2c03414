"""The one SQLite writer: the file, its lock, group commit, its migrations."""

from orchestrator.journal.errors import JournalError, UnreadableError
from orchestrator.journal.journal import Journal, open_for_reading
from orchestrator.journal.schema import check_readable, refused
from orchestrator.journal.under_way import UnderWay
from orchestrator.journal.writer import Group, Statement

__all__ = [
    "Group",
    "Journal",
    "JournalError",
    "Statement",
    "UnderWay",
    "UnreadableError",
    "check_readable",
    "open_for_reading",
    "refused",
]
