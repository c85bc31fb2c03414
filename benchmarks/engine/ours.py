"""This project's embedded engine, through its public API: five steps with plain numbers, and with models."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel

from benchmarks.engine.peer import STEPS
from benchmarks.engine.sqlite import describe
from orchestrator import Context, EmbeddedEngine, step, workflow

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENT_BYTES = 900


@step
async def add_one(number: int) -> int:
    """Return the number plus one."""
    return number + 1


@workflow
async def five_steps(ctx: Context, number: int) -> int:
    """Return the number plus five."""
    for _ in range(STEPS):
        number = await ctx.run(add_one, number)
    return number


class Section(BaseModel):
    """A part of a document."""

    title: str
    words: list[str]
    weight: float


class Document(BaseModel):
    """What a step typically hands on: nested, validated, about 900 bytes of JSON."""

    number: int
    owner: str
    sections: list[Section]
    labels: dict[str, str]


def document(number: int) -> Document:
    """A document of 900 bytes of JSON, give or take the digits of its number."""
    sections = [
        Section(title=f"Section {index}", words=["durable", "workflow", "steps"] * 5, weight=index / 4)
        for index in range(3)
    ]
    made = Document(number=number, owner="benchmark", sections=sections, labels={"filler": ""})
    made.labels["filler"] = "x" * (DOCUMENT_BYTES - len(made.model_dump_json()))
    return made


@step
async def revise(before: Document) -> Document:
    """Return the document with the next number."""
    return before.model_copy(update={"number": before.number + 1})


@workflow
async def five_revisions(ctx: Context, draft: Document) -> Document:
    """Return the document after five revisions."""
    for _ in range(STEPS):
        draft = await ctx.run(revise, draft)
    return draft


class Ours:
    """`EmbeddedEngine` with nothing configured."""

    name: ClassVar[str] = "Orchestrator, embedded"
    packages: ClassVar[tuple[str, ...]] = ("orchestrator",)

    async def prepare(self, directory: Path) -> None:
        """Open the engine on a new journal."""
        self._engine = EmbeddedEngine(
            directory / "journal.db", workflows=[five_steps, five_revisions], steps=[add_one, revise]
        )
        await self._engine.__aenter__()

    async def run_one(self, number: int) -> int:
        """Start the workflow under an id made of `number`, and wait for its result."""
        run = await self._engine.start(five_steps, number, id=f"run-{number}")
        return await run.result()

    async def durability(self) -> str:
        """The pragmas of the journal's one writing connection."""
        services = self._engine._services  # noqa: SLF001 - what is open is asked, not what should be
        if services is None:
            raise RuntimeError("the engine is not open")
        connection = services.journal._writer._connection  # noqa: SLF001 - likewise
        pragmas = ("journal_mode", "synchronous")
        return describe(*(connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in pragmas))

    async def close(self) -> int:
        """Close the engine."""
        await self._engine.__aexit__(None, None, None)
        return 0


class OursWithModels(Ours):
    """The same with pydantic models of 900 bytes into and out of every step and the workflow."""

    name: ClassVar[str] = "Orchestrator, 900-byte models"

    async def run_one(self, number: int) -> int:
        """Start the workflow with a document, and wait for its result."""
        run = await self._engine.start(five_revisions, document(number), id=f"run-{number}")
        return (await run.result()).number
