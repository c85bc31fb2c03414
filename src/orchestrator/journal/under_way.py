"""What is on its way to the disk, by name: whoever needs the name free waits until it is over."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from orchestrator.journal.journal import Journal
    from orchestrator.journal.writer import Group

Name = TypeVar("Name")


class UnderWay(Generic[Name]):
    """Changes that are staged and not durable, one for each name."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._groups: dict[Name, Group] = {}

    def __contains__(self, name: Name) -> bool:
        """Whether a change of that name is not durable yet."""
        group = self._groups.get(name)
        return group is not None and not group.committed

    def add(self, name: Name, group: Group) -> None:
        """A change of that name is durable with this group. Nobody who stops waiting ends that."""
        self._groups[name] = group
        group.then.append(partial(self._forget, name, group))

    async def over(self, name: Name) -> bool:
        """Wait until no change of that name is on its way; False where none was.

        Raises:
            JournalError: it never will be over.
        """
        # What is committed is over, even if those who are told of the group have not had their turn: waiting
        # for it gives nobody a turn.
        waited = False
        while (group := self._groups.get(name)) is not None and not group.committed:
            await self._journal.durable(group)
            waited = True
        return waited

    def _forget(self, name: Name, group: Group) -> None:
        if self._groups.get(name) is group:
            del self._groups[name]
