"""The workflows and steps that one engine was given. No registry is global."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orchestrator.core.errors import TerminalError
from orchestrator.durable.guard import check
from orchestrator.durable.limits import check_same
from orchestrator.durable.steps import Op, Step, StepDefinition
from orchestrator.durable.workflows import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from orchestrator.durable.limits import Limit


class NotRegisteredError(TerminalError):
    """The engine was not given this workflow or step."""

    default_code = "not_registered"


@dataclass(frozen=True, slots=True)
class BoundStep:
    """A step ready to be called with its arguments by name."""

    definition: StepDefinition
    call: Callable[..., Any]


@dataclass(slots=True)
class Registry:
    """Finds workflows by type name and steps by name."""

    _workflows: dict[str, Workflow[Any, Any]] = field(default_factory=dict)
    _limits: dict[str, Limit] = field(default_factory=dict)
    _steps: dict[str, BoundStep] = field(default_factory=dict)

    def add(self, workflows: Iterable[Workflow[Any, Any]], steps: Iterable[object]) -> None:
        """Take workflows, and steps: step functions, or instances of classes that have step methods.

        Raises:
            TypeError: something that is neither.
            ValueError: a name that is taken, or a limit that is not the same in two workflows.
            NondeterministicWorkflowError: a replay of a workflow would not do the same; all places are named.
        """
        given_workflows = list(workflows)
        for workflow in given_workflows:
            if not isinstance(workflow, Workflow):
                raise TypeError(f"workflows=[{workflow!r}]: decorate it with @workflow")
        check(given_workflows)
        for workflow in given_workflows:
            if self._workflows.setdefault(workflow.type_name, workflow) is not workflow:
                raise ValueError(
                    f"two workflows are named {workflow.type_name!r}; give one @workflow(name=…)"
                )
            for limit in workflow.limits:
                check_same(limit, self._limits.setdefault(limit.name, limit))
        for given in steps:
            for bound in _steps_of(given):
                if self._steps.setdefault(bound.definition.name, bound) is not bound:
                    raise ValueError(
                        f"two steps are named {bound.definition.name!r}; give one @step(name=…), "
                        "and one instance for each class"
                    )

    @property
    def limits(self) -> Mapping[str, int]:
        """How many runs each limit lets be under way at once, by its name."""
        return {name: limit.at_once for name, limit in self._limits.items()}

    @property
    def workflows(self) -> tuple[Workflow[Any, Any], ...]:
        """All workflows."""
        return tuple(self._workflows.values())

    @property
    def steps(self) -> tuple[BoundStep, ...]:
        """All steps."""
        return tuple(self._steps.values())

    def workflow(self, type_name: str) -> Workflow[Any, Any]:
        """The workflow of that type name.

        Raises:
            NotRegisteredError: the engine was not given it.
        """
        if type_name not in self._workflows:
            known = ", ".join(sorted(self._workflows)) or "none"
            raise NotRegisteredError(f"no workflow {type_name!r} was given to this engine (it has: {known})")
        return self._workflows[type_name]

    def step(self, name: str) -> BoundStep:
        """The step of that name.

        Raises:
            NotRegisteredError: the engine was not given it.
        """
        if name not in self._steps:
            raise NotRegisteredError(
                f"no step {name!r} was given to this engine; add it, or the instance it is of, to steps=[…]"
            )
        return self._steps[name]


def _steps_of(given: object) -> list[BoundStep]:
    if isinstance(given, Op):
        if given.definition.is_method and isinstance(given, Step):
            raise TypeError(f"{given!r} is a method: give an instance of its class instead")
        return [BoundStep(given.definition, given)]
    found = [
        BoundStep(attribute.definition, getattr(given, name))
        for kind in reversed(type(given).__mro__)
        for name, attribute in vars(kind).items()
        if isinstance(attribute, Step)
    ]
    if not found:
        raise TypeError(f"steps=[{given!r}]: give step functions, or instances of classes with @step methods")
    return found
