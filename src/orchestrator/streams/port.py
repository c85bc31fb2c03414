"""The port: named streams of ordered entries, and groups of consumers that share the work of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

# No call hands out or lists more than this at once.
PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. ``offset`` begins at 1 without gaps, ``at`` is in seconds since 1970, ``data`` is opaque."""

    offset: int
    at: float
    type: str
    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry to be appended; with ``once`` only where the stream has none of its key."""

    type: str
    data: bytes
    key: str = ""
    once: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """An entry that was handed to a consumer of a group, for the ``count``-th time."""

    entry: Entry
    count: int

    @property
    def offset(self) -> int:
        """The entry's offset, by which it is acknowledged."""
        return self.entry.offset


@dataclass(frozen=True, slots=True)
class Pending:
    """An entry that was handed out ``count`` times and not acknowledged, and who holds it.

    ``since`` is when it was last handed out, in seconds since 1970.
    """

    offset: int
    consumer: str
    since: float
    count: int


class Group(Protocol):
    """Consumers that share the entries of one stream: each entry goes to one of them, at least once.

    A consumer is a name. An entry is held by the consumer it was handed to until it is acknowledged, or until
    another one claims it. That it was handed out is durable before it is, so after a crash it is either still
    to be read or held by someone. A call that is cancelled may leave what it took with its consumer, as a
    crash does; ``claim`` gets it back.

    Raises of all methods: NotFoundError: the group or its stream was deleted. UnicodeEncodeError: a name
    with a lone surrogate.
    """

    async def read(self, consumer: str, limit: int = 100, wait_s: float | None = None) -> list[Delivery]:
        """Hand out entries that nobody was handed yet: at least one, at most ``limit`` and 1,000.

        When there are none it waits for them, ``wait_s`` seconds at most, and then gives an empty list; 0
        does not wait, None waits for as long as it takes.

        Raises:
            InvalidInputError: a limit below 1.
        """
        ...

    async def ack(self, *offsets: int) -> int:
        """The work on these is done: nobody gets them again. Durable when this returns.

        Whoever holds an entry, it may be acknowledged: the work is done. Gives how many of them were held.
        """
        ...

    async def reject(self, offset: int, reason: str) -> bool:
        """This can never be done: move it to the stream's dead letters. False when nobody holds it."""
        ...

    async def claim(
        self, consumer: str, idle_s: float, limit: int = 100, *, held_by: str | None = None
    ) -> list[Delivery]:
        """Take over what was handed out at least ``idle_s`` seconds ago and not acknowledged since.

        Up to ``limit`` entries, in the order of their offsets; never waits. With ``held_by`` only what that
        consumer holds: a consumer that begins anew under its old name takes its own with ``idle_s=0``. What
        was handed out ``most_deliveries`` times already goes to the dead letters instead, in one commit.

        Raises:
            InvalidInputError: a limit below 1.
        """
        ...

    async def pending(self, after: int = 0, limit: int = PAGE) -> list[Pending]:
        """What is held with offsets above ``after``, at most ``limit`` and 1,000, in the order of offsets."""
        ...

    async def lag(self) -> int:
        """How many entries nobody was handed yet."""
        ...

    async def delete(self) -> None:
        """Forget the group and what its consumers hold; the stream stays. Twice is the same as once."""
        ...


class Streams(Protocol):
    """Append, read from an offset, wait for more, share the work. A stream exists from its first use on."""

    async def append(self, stream: str, type: str, data: bytes, *, key: str = "", once: bool = False) -> int:
        """Add an entry at the end; durable when this returns. Gives its offset.

        With ``once`` nothing is added where the stream has an entry of this key already: this gives the
        offset of that one, the last if there are several. So whoever does not know whether an append came
        through can do it again. What was trimmed or deleted is forgotten, and its key with it.

        Raises:
            InvalidInputError: ``once`` without a key.
            TypeError: ``data`` is not bytes. UnicodeEncodeError: a name, key or type with a lone surrogate.
        """
        ...

    async def append_all(self, stream: str, entries: Sequence[NewEntry]) -> list[int]:
        """Add these entries in order, in one commit: all of them are there after a crash, or none.

        Gives the offset of each, which two of one key may share. Raises what ``append`` does, and then adds
        nothing; InvalidInputError also for more than 10,000 entries.
        """
        ...

    async def read(self, stream: str, after: int = 0, limit: int = PAGE) -> list[Entry]:
        """Up to ``limit`` entries with offsets above ``after``, or above what was trimmed."""
        ...

    async def last(self, stream: str) -> int:
        """The offset of the last entry, also if it was trimmed since; 0 where there never was one."""
        ...

    def follow(self, stream: str, after: int = 0) -> AsyncIterator[Entry]:
        """Every entry above ``after``: first what is there, then each one as it becomes durable.

        It ends when the stream is deleted, and goes on with the first entry there is where some were trimmed.
        """
        ...

    async def group(
        self, stream: str, name: str, *, after: int | Literal["end"] = 0, most_deliveries: int = 5
    ) -> Group:
        """The group of that name, made if there is none: then it begins above ``after``.

        Args:
            stream: the stream; it need not have entries yet.
            name: each stream has groups of its own.
            after: the offset above which a new group begins, or "end" for what comes from now on. A group
                that exists goes on where it is.
            most_deliveries: how often an entry is handed out by this handle before it is a dead letter.

        Raises:
            InvalidInputError: an offset that cannot be, or less than one delivery.
        """
        ...

    async def groups(self, stream: str) -> list[str]:
        """The names of the stream's groups, sorted."""
        ...

    async def trim(
        self,
        stream: str,
        *,
        keep: int | None = None,
        before: int | None = None,
        unacknowledged: bool = False,
    ) -> int:
        """Remove entries from the beginning, all but the last ``keep`` or all ``before`` one; gives how many.

        Offsets are never used again, also when nothing is left. It stops before the first entry that some
        group has not acknowledged, unless ``unacknowledged``: then such entries are gone for groups too.

        Raises:
            InvalidInputError: not exactly one of ``keep`` and ``before``, or a negative one.
        """
        ...

    async def remove(self, stream: str, offsets: Sequence[int]) -> int:
        """Remove these entries wherever they are, for groups too; gives how many there were.

        Their offsets are never used again. One who follows and has them in hand already still gets them.

        Raises:
            InvalidInputError: more than 10,000 at once.
        """
        ...

    async def expire(self, stream: str, after_s: float | None) -> None:
        """Forget the stream once nobody has appended to it for so many seconds from now on; None: never.

        It is then as if it had been deleted: followers end, groups are gone, offsets begin at 1. Holds
        through restarts, until it is set anew or the stream is gone.

        Raises:
            InvalidInputError: no time above zero, or more than a hundred years.
        """
        ...

    async def delete(self, stream: str) -> None:
        """Forget a stream, its entries and groups; nothing happens when there is none.

        Its dead letters are a stream of their own and stay.
        """
        ...
