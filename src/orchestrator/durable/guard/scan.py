"""Follows a workflow's function to all it calls, and finds what a replay would do differently."""

from __future__ import annotations

import sys
from collections import deque
from dataclasses import dataclass, field, replace
from importlib.util import resolve_name
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.durable.context import Context
from orchestrator.durable.errors import DeterminismError
from orchestrator.durable.guard.mentions import Import, Mention, Root, read
from orchestrator.durable.guard.own import is_own
from orchestrator.durable.guard.rules import (
    NOT_AWAITED,
    STEP_CALLED,
    Name,
    Rule,
    rule_for,
    rule_for_method,
    rule_for_unloaded,
)
from orchestrator.durable.guard.values import (
    UNKNOWN,
    Callee,
    Instance,
    attribute,
    callees,
    global_value,
    has_method,
    parameters,
    variables_around,
    wrapped,
)
from orchestrator.durable.guard.vouched import is_vouched
from orchestrator.durable.steps import Op, Unbound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.durable.workflows import Workflow


TO_BE_AWAITED: frozenset[object] = frozenset(
    {Context.run, Context.map, Context.gather, Context.child, Context.sleep, Context.receive}
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where a replay would do something else."""

    file: str
    line: int
    chain: tuple[str, ...]
    """The workflow, the functions that lead from it to the place, and what is used there."""
    rule: Rule

    def __str__(self) -> str:
        """One line for people."""
        chain = " → ".join(self.chain)
        return f"{_near(self.file)}:{self.line}: {chain}: {self.rule.what}; use {self.rule.instead}"


class NondeterministicWorkflowError(DeterminismError):
    """A workflow uses what a replay would not repeat. ``findings`` says where."""

    def __init__(self, findings: list[Finding]) -> None:
        lines = "\n".join(f"  {finding}" for finding in findings)
        super().__init__(
            f"a replay of these workflows would not do the same:\n{lines}\n"
            "Where a function gives the same on every replay all the same, mark it with @deterministic."
        )
        self.findings = findings


def check(workflows: Iterable[Workflow[Any, Any]]) -> None:
    """Look through workflows and all they call, in their own packages.

    Raises:
        NondeterministicWorkflowError: some of it reads the clock, randomness or the machine, does I/O, starts
            threads, calls a step instead of running it, or does not await an operation.
    """
    looks: dict[Callee, Look] = {}
    findings = [finding for workflow in workflows for finding in _findings(workflow, looks)]
    if findings:
        raise NondeterministicWorkflowError(list(dict.fromkeys(findings)))


@dataclass(slots=True)
class Look:
    """What one function does itself."""

    found: list[tuple[tuple[str, ...], int, Rule]] = field(default_factory=list)
    """Names from the function to the place, line and rule."""
    calls: list[Callee] = field(default_factory=list)


def _findings(workflow: Workflow[Any, Any], looks: dict[Callee, Look]) -> Iterator[Finding]:
    package = workflow.function.__module__.partition(".")[0]
    seen = set(callees(workflow.function, called=False))
    to_visit: deque[tuple[Callee, tuple[str, ...]]] = deque((callee, (workflow.name,)) for callee in seen)
    while to_visit:
        callee, chain = to_visit.popleft()
        function = callee.function
        if is_vouched(function.__code__):
            continue
        calls = callees(wrapped(function), called=True)
        if is_own(function.__code__, function.__module__ or "", package):
            if callee not in looks:
                looks[callee] = look_at(callee)
            for names, line, rule in looks[callee].found:
                yield Finding(function.__code__.co_filename, line, (*chain, *names), rule)
            calls = calls + looks[callee].calls
        for call in calls:
            if call not in seen:
                seen.add(call)
                # A wrapper has the name of what it wraps.
                to_visit.append((call, chain if call.name == chain[-1] else (*chain, call.name)))


def look_at(callee: Callee) -> Look:
    """Read one function, and the functions and classes that are defined inside it."""
    look = Look()
    function = callee.function
    scope = Scope(function.__globals__, variables_around(function), parameters(callee), ())
    pending = deque([(function.__code__, scope)])
    while pending:
        code, scope = pending.popleft()
        reading = read(code)
        scope.own |= reading.imports
        _Resolver(scope, look).resolve(reading.mentions)
        for nested in reading.nested:
            if not is_vouched(nested):
                names = scope.names if nested.co_name.startswith("<") else (*scope.names, nested.co_name)
                pending.append((nested, Scope(scope.module, scope.around | scope.own, {}, names)))
    look.found.sort(key=itemgetter(1))
    return look


@dataclass(slots=True)
class Scope:
    """What is known of the names in a code object: of its module, of what is around its function, its own."""

    module: dict[str, Any]
    around: dict[str, object]
    own: dict[str, object]
    names: tuple[str, ...]
    """Of the functions that lead from the outermost one to this code."""


class _Resolver:
    """Finds what the mentions of one code object stand for."""

    def __init__(self, scope: Scope, look: Look) -> None:
        self._scope = scope
        self._look = look
        self._made: list[type] = []
        self._unresolved: list[Mention] = []

    def resolve(self, mentions: list[Mention]) -> None:
        for mention in mentions:
            self._mention(mention)
        # An attribute of who knows what may be one of an instance that this code makes.
        for mention in self._unresolved:
            for kind in self._made:
                if has_method(kind, mention.path[0]):
                    self._follow(Instance(kind), mention, mention.path)

    def _mention(self, mention: Mention) -> None:
        first, *rest = mention.path
        attributes = mention.path if mention.root is Root.VALUE else rest
        for name in attributes:
            self._report(mention, rule_for_method(name))
        value = self._value(mention.root, first)
        if isinstance(value, Import):
            self._imported(value, mention, rest)
        elif value is not UNKNOWN:
            self._follow(value, mention, rest)
        elif attributes:
            self._unresolved.append(replace(mention, path=attributes, root=Root.VALUE))

    def _value(self, root: Root, name: str) -> object:
        if root is Root.GLOBAL:
            return global_value(self._scope.module, name)
        if root is Root.VALUE:
            return UNKNOWN
        own = self._scope.own.get(name, UNKNOWN)
        return self._scope.around.get(name, UNKNOWN) if own is UNKNOWN and root is Root.FREE else own

    def _imported(self, wanted: Import, mention: Mention, rest: list[str]) -> None:
        try:
            name = resolve_name(wanted.module, self._scope.module.get("__package__") or None)
        except ImportError:
            return
        attributes = [wanted.attribute, *rest] if wanted.attribute else rest
        module = sys.modules.get(name)
        if module is None:
            self._report(mention, rule_for_unloaded(name, attributes))
        else:
            self._follow(module, mention, attributes)

    def _follow(self, value: object, mention: Mention, attributes: list[str]) -> None:
        """From a value along its attributes, to the first that a rule knows, or to what is called."""
        written: list[Name] = []
        for position in range(len(attributes) + 1):
            if position:
                value, written = attribute(value, attributes[position - 1])
            bare = mention.called_without_arguments and position == len(attributes)
            rule = rule_for(value, written, without_arguments=bare)
            if rule is not None:
                self._report(mention, rule)
                return
        if isinstance(value, (Op, Unbound)) and mention.called:
            self._report(mention, STEP_CALLED)
        elif mention.dropped and isinstance(value, Callee) and value.function in TO_BE_AWAITED:
            self._report(mention, NOT_AWAITED)
        elif isinstance(value, type) and mention.called:
            self._made.append(value)
        self._look.calls += callees(value, called=mention.called)

    def _report(self, mention: Mention, rule: Rule | None) -> None:
        if rule is not None:
            text = ".".join(mention.path)
            shown = f"(…).{text}" if mention.root is Root.VALUE else text
            self._look.found.append(((*self._scope.names, shown), mention.line, rule))


def _near(file: str) -> Path:
    """A file's path as people here would write it."""
    path = Path(file)
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
