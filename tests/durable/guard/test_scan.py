"""How far the look at a workflow goes: into all that it calls of its author's own, and no further."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import inspect
import json
import random
import time
from datetime import UTC, datetime
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

import pydantic.main
import pytest

from orchestrator import Context, deterministic, step, workflow
from orchestrator.durable.guard import NondeterministicWorkflowError, check
from orchestrator.durable.guard.scan import look_at
from orchestrator.durable.guard.values import Callee
from orchestrator.durable.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from orchestrator.durable.workflows import Workflow


def chains(*workflows: Workflow[Any, Any]) -> list[str]:
    """The ways to all that is found."""
    try:
        check(workflows)
    except NondeterministicWorkflowError as error:
        return [" → ".join(finding.chain) for finding in error.findings]
    return []


def stamp() -> float:
    """Read the clock."""
    return time.time()


def twice(function: Callable[[], float]) -> Callable[[], float]:
    """Decorate with a wrapper of the author's own."""

    @functools.wraps(function)
    def both() -> float:
        return function() + function()

    return both


class Shop:
    """Reads the clock in every way that a class has."""

    opened = stamp

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self) -> float:
        """When it is called."""
        return time.time()

    def direct(self) -> float:
        """In a method."""
        return time.monotonic()

    def through(self) -> float:
        """In a method that it calls."""
        return self.direct()

    @property
    def age(self) -> float:
        """In a property."""
        return time.perf_counter()

    @functools.cached_property
    def kept_age(self) -> float:
        """In a property that is kept."""
        return time.perf_counter()

    @classmethod
    def of_class(cls) -> float:
        """In a class method that another one calls."""
        return cls.without()

    @staticmethod
    def without() -> float:
        """In a static method."""
        return time.process_time()

    def innocent(self) -> str:
        """Nowhere."""
        return self.name


class Branch(Shop):
    """Inherits it all."""


class Stamped:
    """Reads the clock when it is made."""

    def __init__(self) -> None:
        self.at = time.time()


SHOP = Shop("corner")


def test_helpers_are_followed_however_they_are_named() -> None:
    """Called, handed on, bound, or called by what is nested."""
    bound = SHOP.direct

    @workflow
    async def by_name(ctx: Context) -> None:
        stamp()

    @workflow
    async def as_argument(ctx: Context) -> None:
        sorted([1], key=stamp)  # type: ignore[arg-type]  # never run

    @workflow
    async def when_bound(ctx: Context) -> None:
        bound()

    @workflow
    async def nested(ctx: Context) -> None:
        async def inner() -> None:
            def innermost() -> float:
                return stamp()

            innermost()

        await inner()

    assert chains(by_name) == ["by_name → stamp → time.time"]
    assert chains(as_argument) == ["as_argument → stamp → time.time"]
    assert chains(when_bound) == ["when_bound → Shop.direct → time.monotonic"]
    assert chains(nested) == ["nested → stamp → time.time"]


def test_helpers_are_followed_through_what_is_made_of_them() -> None:
    """Wrappers, partials, caches and context managers."""

    @functools.lru_cache
    def kept() -> float:
        return stamp()

    @contextlib.contextmanager
    def timed() -> Iterator[None]:
        stamp()
        yield

    wrapped = twice(stamp)
    partly = functools.partial(stamp)

    @workflow
    async def in_a_wrapper(ctx: Context) -> None:
        wrapped()

    @workflow
    async def in_a_partial(ctx: Context) -> None:
        partly()

    @workflow
    async def when_kept(ctx: Context) -> None:
        kept()

    @workflow
    async def in_a_context(ctx: Context) -> None:
        with timed():
            pass

    assert chains(in_a_wrapper) == ["in_a_wrapper → stamp → time.time"]
    assert chains(in_a_partial) == ["in_a_partial → stamp → time.time"]
    assert chains(when_kept) == ["when_kept → kept → stamp → time.time"]
    assert chains(in_a_context) == ["in_a_context → timed → stamp → time.time"]


def test_methods_are_followed_of_classes_that_are_known() -> None:
    """Of instances that a module has, a workflow makes or an annotation names; also those of base classes."""

    @workflow
    async def of_the_module(ctx: Context) -> None:
        SHOP.through()

    @workflow
    async def made_here(ctx: Context) -> None:
        shop = Branch("new")
        shop.innocent()
        shop.direct()

    @workflow
    async def annotated(ctx: Context, shop: Shop) -> float:
        return shop.age + shop.kept_age

    @workflow
    async def of_the_class(ctx: Context) -> None:
        Shop.of_class()

    @workflow
    async def called(ctx: Context) -> None:
        SHOP()

    @workflow
    async def constructed(ctx: Context) -> None:
        Stamped()

    @workflow
    async def as_a_variable(ctx: Context) -> None:
        Shop.opened()

    @workflow
    async def innocent(ctx: Context, shop: Shop) -> str:
        Shop("other")
        return shop.innocent() if isinstance(ctx, Stamped) else shop.name

    assert chains(of_the_module) == ["of_the_module → Shop.through → Shop.direct → time.monotonic"]
    assert chains(made_here) == ["made_here → Shop.direct → time.monotonic"]
    assert chains(annotated) == [
        "annotated → Shop.age → time.perf_counter",
        "annotated → Shop.kept_age → time.perf_counter",
    ]
    assert chains(of_the_class) == ["of_the_class → Shop.of_class → Shop.without → time.process_time"]
    assert chains(called) == ["called → Shop.__call__ → time.time"]
    assert chains(constructed) == ["constructed → Stamped.__init__ → time.time"]
    assert chains(as_a_variable) == ["as_a_variable → stamp → time.time"]
    assert chains(innocent) == []


def test_a_decorated_workflow_is_looked_through() -> None:
    """The wrapper and what it wraps, each once."""

    def logged(
        function: Callable[[Context], Coroutine[Any, Any, None]],
    ) -> Callable[[Context], Coroutine[Any, Any, None]]:
        @functools.wraps(function)
        async def noting(ctx: Context) -> None:
            time.time_ns()
            await function(ctx)

        return noting

    @workflow
    @logged
    async def flow(ctx: Context) -> None:
        stamp()

    assert chains(flow) == ["flow → time.time_ns", "flow → stamp → time.time"]


def test_functions_that_call_each_other_in_a_circle_are_followed_once() -> None:
    """The shortest way to each place is shown."""

    def even(number: int) -> bool:
        return number == 0 or odd(number - 1)

    def odd(number: int) -> bool:
        stamp()
        return number != 0 and even(number - 1)

    @workflow
    async def flow(ctx: Context, number: int) -> bool:
        return even(number)

    assert chains(flow) == ["flow → even → odd → stamp → time.time"]


def test_steps_and_other_workflows_are_not_looked_into() -> None:
    """A step may do everything, and another workflow is looked at when an engine takes it."""

    @step
    async def fetch() -> float:
        return stamp()

    @workflow
    async def other(ctx: Context) -> None:
        stamp()

    @workflow
    async def flow(ctx: Context) -> str:
        await ctx.gather(ctx.run(fetch), ctx.run(fetch))
        return other.type_name

    assert chains(flow) == []
    assert chains(flow, other) == ["other → stamp → time.time"]


def test_an_operation_that_nobody_awaits_is_found() -> None:
    """As a statement of its own it is a slip; what is kept, handed on or awaited is not."""

    @step
    async def fetch(number: int) -> int:
        return number

    async def rest(ctx: Context) -> None:
        ctx.sleep(5)  # type: ignore[unused-coroutine]  # the slip

    @workflow
    async def child(ctx: Context) -> None: ...

    @workflow
    async def forgets(ctx: Context, number: int) -> None:
        ctx.run(fetch, number)  # type: ignore[unused-coroutine]  # the slip
        ctx.run(fetch, number=number)  # type: ignore[unused-coroutine]  # the slip
        for _ in range(number):
            ctx.child(child)  # type: ignore[unused-coroutine]  # the slip
            with contextlib.suppress(ValueError):
                ctx.receive("answer", str, timeout=3)  # type: ignore[unused-coroutine]  # the slip
        await rest(ctx)

    @workflow
    async def minds(ctx: Context, number: int) -> int:
        ctx.publish("begun", number)
        ctx.compensate(fetch, number)
        kept = ctx.run(fetch, number)
        task = asyncio.create_task(ctx.child(child))
        await ctx.gather(ctx.sleep(1), ctx.run(fetch, number))
        await task
        return await kept

    assert chains(forgets) == [
        "forgets → ctx.run",
        "forgets → ctx.run",
        "forgets → ctx.child",
        "forgets → ctx.receive",
        "forgets → rest → ctx.sleep",
    ]
    assert chains(minds) == []


def test_all_workflows_are_looked_at_before_any_is_refused() -> None:
    """One error names every place in all of them, and a registry that refuses has taken none."""

    @workflow
    async def first(ctx: Context) -> None:
        stamp()

    @workflow
    async def second(ctx: Context) -> None:
        random.random()  # noqa: S311  # what is tested
        datetime.now(UTC)

    registry = Registry()
    with pytest.raises(NondeterministicWorkflowError) as caught:
        registry.add([first, second], [])
    assert [finding.chain[0] for finding in caught.value.findings] == ["first", "second", "second"]
    assert registry.workflows == ()


def test_a_function_that_somebody_vouches_for_is_not_looked_into() -> None:
    """Nor what it calls; the functions beside it are."""

    @deterministic
    def measured() -> float:
        return stamp()

    class Table:
        @classmethod
        @deterministic
        def read(cls) -> str:
            return Path("table.json").read_text()

    @workflow
    async def flow(ctx: Context) -> None:
        measured()
        Table.read()

    @workflow
    async def beside(ctx: Context) -> None:
        measured()
        stamp()

    assert measured() > 0
    assert chains(flow) == []
    assert chains(beside) == ["beside → stamp → time.time"]


def test_vouching_for_a_wrapped_function_does_not_vouch_for_its_wrapper() -> None:
    """Others use the same wrapper."""

    def steady() -> float:
        return time.time()

    vouched = deterministic(twice(steady))

    def loose() -> float:
        return time.time()

    other = twice(loose)

    @workflow
    async def flow(ctx: Context) -> None:
        vouched()
        other()

    assert chains(flow) == ["flow → loose → time.time"]


def test_only_functions_can_be_vouched_for() -> None:
    """What has no code of its own is refused."""
    with pytest.raises(TypeError, match="is for functions"):
        deterministic(Shop("x"))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """Writes packages, and imports the module that is named last."""

    def write(**files: str) -> ModuleType:
        for name, text in files.items():
            file = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            (file.parent / "__init__.py").touch()
            file.write_text(text)
        return importlib.import_module(list(files)[-1].removeprefix("site-packages__").replace("__", "."))

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    return write


CLOCK = "import time\ndef stamp(): return time.time()\n"
FLOW = """
from orchestrator import Context, workflow
{imports}
@workflow
async def flow(ctx: Context) -> None:
    stamp()
"""


def test_helpers_of_other_modules_of_the_author_are_followed(project: Callable[..., ModuleType]) -> None:
    """Of the same package, and of others that lie in no library."""
    same = project(shop_a__clock=CLOCK, shop_a__flows=FLOW.format(imports="from .clock import stamp"))
    other = project(mine__clock=CLOCK, shop_b__flows=FLOW.format(imports="from mine.clock import stamp"))
    assert chains(same.flow) == ["flow → stamp → time.time"]
    assert chains(other.flow) == ["flow → stamp → time.time"]


def test_helpers_that_are_imported_in_the_function_are_followed(project: Callable[..., ModuleType]) -> None:
    """Relative imports too, once the module is loaded."""
    flows = project(
        shop_c__clock=CLOCK,
        shop_c__flows="""
from orchestrator import Context, workflow
import shop_c.clock
@workflow
async def flow(ctx: Context) -> None:
    from . import clock
    clock.stamp()
@workflow
async def named(ctx: Context) -> None:
    from .clock import stamp as tell
    tell()
""",
    )
    assert chains(flows.flow) == ["flow → stamp → time.time"]
    assert chains(flows.named) == ["named → stamp → time.time"]


def test_installed_packages_are_not_followed(project: Callable[..., ModuleType]) -> None:
    """Their authors answer for them; but a package that is installed looks into itself."""
    library = {"site-packages__library__clock": CLOCK}
    user = project(**library, shop_d__flows=FLOW.format(imports="from library.clock import stamp"))
    installed = project(
        **library, **{"site-packages__library__flows": FLOW.format(imports="from .clock import stamp")}
    )
    assert chains(user.flow) == []
    assert chains(installed.flow) == ["flow → stamp → time.time"]


def test_looking_runs_none_of_the_code() -> None:
    """Neither properties, nor attributes that are made when asked for, nor proxies that pretend."""

    def touch(*_: object) -> NoReturn:
        raise AssertionError("touched")

    pretends = {"__class__": property(touch), "__getattr__": touch}
    touchy: Any = type("Touchy", (), pretends)()
    lazy: Any = type("Lazy", (), {"value": property(touch), "__getattr__": touch})()

    @workflow
    async def flow(ctx: Context) -> None:
        touchy.anything.at_all()
        touchy()
        lazy.other.value()

    assert chains(flow) == []


@pytest.mark.parametrize("module", [asyncio, contextlib, inspect, json, pydantic.main, random])
def test_no_code_makes_it_stumble(module: ModuleType) -> None:
    """Whatever functions are made of, they can be looked at."""
    package = module.__name__.partition(".")[0]
    functions = {
        function
        for found in vars(module).values()
        for function in [found, *(vars(found).values() if isinstance(found, type) else ())]
        if isinstance(function, FunctionType) and function.__module__.startswith(package)
    }
    assert functions
    for function in functions:
        look_at(Callee(function))
