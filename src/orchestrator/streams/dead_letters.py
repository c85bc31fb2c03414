"""Dead letters: entries that no consumer could deal with, kept with where they came from and why."""

from __future__ import annotations

import json
from dataclasses import dataclass

from orchestrator.core.errors import InvalidInputError
from orchestrator.streams.port import Entry


def dead_letters(stream: str) -> str:
    """The stream that holds the dead letters of a stream: ``orders.dead`` for ``orders``."""
    return f"{stream}.dead"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An entry as it was, the stream and group it came from, who held it last, how often and why no more."""

    entry: Entry
    stream: str
    group: str
    consumer: str
    count: int
    reason: str

    def data(self) -> bytes:
        """What is stored: a line of JSON, then the entry's own bytes. Type and key are those of the entry."""
        head = {
            "stream": self.stream,
            "group": self.group,
            "offset": self.entry.offset,
            "at": self.entry.at,
            "consumer": self.consumer,
            "count": self.count,
            "reason": self.reason,
        }
        return json.dumps(head).encode() + b"\n" + self.entry.data

    @classmethod
    def of(cls, stored: Entry) -> DeadLetter:
        """The dead letter that an entry of a dead-letter stream holds.

        Raises:
            InvalidInputError: it holds none.
        """
        line, _, data = stored.data.partition(b"\n")
        try:
            head = json.loads(line)
            entry = Entry(head["offset"], head["at"], stored.type, stored.key, data)
            return cls(entry, head["stream"], head["group"], head["consumer"], head["count"], head["reason"])
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInputError(
                f"entry {stored.offset} is no dead letter; read them from a stream that is named "
                f"{dead_letters('<stream>')}"
            ) from error
