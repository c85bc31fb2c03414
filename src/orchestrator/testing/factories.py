"""What the fixtures of the pytest plugin make."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.durable.embedded import EmbeddedEngine
from orchestrator.testing.model import ScriptedModel

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from orchestrator.durable.workflows import Workflow
    from orchestrator.testing.clock import ManualClock
    from orchestrator.testing.model import Line


@dataclass(frozen=True, slots=True)
class EngineFactory:
    """Makes engines with one clock, in one folder."""

    folder: Path
    clock: ManualClock

    def __call__(
        self,
        *,
        workflows: Iterable[Workflow[Any, Any]] = (),
        steps: Iterable[object] = (),
        file: str = "runs.db",
        **options: Any,
    ) -> EmbeddedEngine:
        """An engine, to be opened with ``async with``; the same ``file`` is the same runs.

        ``options`` are those of `EmbeddedEngine`.
        """
        settings = {"clock": self.clock, **options}
        return EmbeddedEngine(self.folder / file, workflows=workflows, steps=steps, **settings)


@dataclass(slots=True)
class ModelFactory:
    """Makes scripted models, and remembers them."""

    made: list[ScriptedModel] = field(default_factory=list)

    def __call__(
        self, *script: Line, otherwise: Line = None, generator: str = "scripted-model"
    ) -> ScriptedModel:
        """A model with this script; see `ScriptedModel`."""
        model = ScriptedModel(*script, otherwise=otherwise, generator=generator)
        self.made.append(model)
        return model

    def check(self) -> None:
        """Whether each had an answer to all it was asked.

        Raises:
            AssertionError: one had none; the message says to what.
        """
        for model in self.made:
            model.check(all_used=False)
