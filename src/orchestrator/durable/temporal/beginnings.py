"""What a run on Temporal may begin with, beside its input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping  # pydantic reads annotations
from typing import TYPE_CHECKING, Final, Self

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from orchestrator.durable.entries import split_signal_key
from orchestrator.durable.limits import Slot  # pydantic reads annotations
from orchestrator.durable.runs import EventType, Prefix, Recorded
from orchestrator.durable.temporal.payloads import carried

if TYPE_CHECKING:
    from temporalio.common import RawValue


class Letter(BaseModel):
    """A signal that a life of a run did not receive: its name, and its identity and data as JSON texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    identity: str
    data: str


class CarriedPrefix(BaseModel):
    """A `Prefix` as it travels: its seed in hexadecimal; type, key, time and JSON text of each entry."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: str
    began_at: float
    entries: tuple[tuple[EventType, str, float, str], ...]

    @classmethod
    def of(cls, prefix: Prefix) -> Self:
        """To be carried."""
        entries = tuple((one.type, one.key, one.at, one.data.decode()) for one in prefix.entries)
        return cls(seed=prefix.seed.hex(), began_at=prefix.began_at, entries=entries)

    @property
    def prefix(self) -> Prefix:
        """The same again."""
        entries = tuple(Recorded(kind, key, at, data.encode()) for kind, key, at, data in self.entries)
        return Prefix(bytes.fromhex(self.seed), self.began_at, entries)


class Beginning(BaseModel):
    """The second argument of a workflow type; it says only what is out of the ordinary.

    ``life`` counts what ``continue_as`` begins. ``letters`` are signals that the history before has left, in
    the order of their arrival. ``prefix`` is what the run takes over instead of
    running it; ``is_paused`` whether it begins nothing until it is resumed.
    ``held`` are the places of limits that its ancestors hold, ``takes`` its own, which the life before had.
    ``children`` are child runs, by their ids, that another engine had begun: they go on when asked for.

    ``goes_on`` says that the history before is of the same life, and told already what ``prefix`` has.

    A worker whose code does not know one of the fields does not begin the run: it would lose what that says.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    life: int = 1
    letters: tuple[Letter, ...] = ()
    prefix: CarriedPrefix | None = None
    is_paused: bool = False
    held: tuple[Slot, ...] = ()
    takes: tuple[Slot, ...] | None = None
    children: Mapping[str, MovedChild] = Field(default_factory=dict)
    goes_on: bool = False

    @property
    def taken_over(self) -> Prefix | None:
        """The prefix, if there is one."""
        return None if self.prefix is None else self.prefix.prefix

    @property
    def signals(self) -> Iterator[bytes]:
        """The identities, as JSON, of the signals that came before."""
        for letter in self.letters:
            yield letter.identity.encode()
        for kind, key, _, _ in () if self.prefix is None else self.prefix.entries:
            if kind is EventType.SIGNAL_RECEIVED:
                yield to_json(split_signal_key(key)[0])

    def seed(self, first_run: str) -> bytes:
        """What the randomness of a run comes from whose first execution on the server is ``first_run``."""
        return (
            life_of(first_run, self.life).encode() if self.prefix is None else bytes.fromhex(self.prefix.seed)
        )


class MovedChild(BaseModel):
    """A child run from another engine: its recorded input as a JSON text, and its beginning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    beginning: Beginning


Beginning.model_rebuild()
PLAIN_BEGINNING: Final = Beginning()


def life_of(name: str, life: int) -> str:
    """What tells the lives of one run apart: the name itself, and from the second on its number too."""
    return name if life == 1 else f"{name}@{life}"


def arguments(data: bytes, beginning: Beginning = PLAIN_BEGINNING) -> list[RawValue]:
    """The arguments of a workflow type: its recorded input, and what it begins with beside it."""
    said = beginning.model_dump_json(exclude_defaults=True).encode()
    return [carried(data), carried(said)]
