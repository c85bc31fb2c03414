"""What can be wrong with a journal."""

from orchestrator.core.errors import ConflictError, InternalError, UnavailableError


class JournalError(InternalError):
    """The journal cannot be used."""

    default_code = "journal"


class JournalClosedError(JournalError):
    """The journal was closed; open it again to go on."""

    default_code = "journal_closed"


class JournalInUseError(ConflictError):
    """Another process has this journal open."""

    default_code = "journal_in_use"


class JournalFullError(UnavailableError):
    """The journal cannot grow: the disk is full."""

    default_code = "journal_full"


class UnreadableError(InternalError):
    """What was recorded cannot be read back."""

    default_code = "unreadable"
