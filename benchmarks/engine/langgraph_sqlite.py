"""LangGraph: a graph of five nodes, checkpointed synchronously into SQLite."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, ClassVar, TypedDict

from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from benchmarks.engine.peer import STEPS
from benchmarks.engine.sqlite import describe

if TYPE_CHECKING:
    from pathlib import Path


class State(TypedDict):
    """What the nodes hand on."""

    number: int


async def add_one(state: State) -> State:
    """Hand on the number plus one."""
    return State(number=state["number"] + 1)


class LangGraphSqlite:
    """`AsyncSqliteSaver` with `durability="sync"`: a checkpoint before each next node."""

    name: ClassVar[str] = "LangGraph, SQLite saver"
    packages: ClassVar[tuple[str, ...]] = ("langgraph", "langgraph-checkpoint-sqlite")

    async def prepare(self, directory: Path) -> None:
        """Compile the graph on a new database file."""
        self._stack = AsyncExitStack()
        self._saver = await self._stack.enter_async_context(
            AsyncSqliteSaver.from_conn_string(str(directory / "checkpoints.db"))
        )
        await self._saver.setup()
        graph = StateGraph(State)
        names = [f"step-{number}" for number in range(1, STEPS + 1)]
        for name in names:
            graph.add_node(name, add_one)
        for before, after in zip([START, *names], [*names, END], strict=True):
            graph.add_edge(before, after)
        self._graph = graph.compile(checkpointer=self._saver)

    async def run_one(self, number: int) -> int:
        """Run the graph in a thread of its own."""
        end = await self._graph.ainvoke(
            {"number": number}, {"configurable": {"thread_id": f"run-{number}"}}, durability="sync"
        )
        return int(end["number"])

    async def durability(self) -> str:
        """The pragmas of the saver's connection."""
        values = {}
        for pragma in ("journal_mode", "synchronous"):
            async with self._saver.conn.execute(f"PRAGMA {pragma}") as cursor:
                values[pragma] = (await cursor.fetchone())[0]
        return f'{describe(**values)}, durability="sync"'

    async def close(self) -> int:
        """Close the connection."""
        await self._stack.aclose()
        return 0
