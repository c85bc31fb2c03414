# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""Calls that the types must accept, and calls that they must refuse; read by mypy and pyright, never run.

Both report an ignore that hides nothing, so a wrong call that slips through fails the lint.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, assert_type

from orchestrator import Context, Retry, step, workflow

if TYPE_CHECKING:
    from orchestrator.durable.engine import Engine, Schedule


@dataclass
class Page:
    """Something fetched."""

    url: str
    links: list[str]


@step(timeout=15, retry=Retry(attempts=4, backoff=(1, 2, 4)))
async def fetch(url: str) -> Page:
    """Take one positional argument."""
    return Page(url, [])


@step
async def shorten(text: str, *, limit: int = 80, suffix: str) -> str:
    """Take keyword-only arguments."""
    return text[:limit] + suffix


@step
def count(page: Page) -> int:
    """Be a plain function."""
    return len(page.links)


class Pages:
    """Steps as methods."""

    @step
    async def read(self, url: str) -> Page:
        """Read."""
        return Page(url, [])

    @step(name="rate")
    def rate(self, page: Page, *, most: float = 1.0) -> float:
        """Rate."""
        return min(len(page.links), most)


@workflow
async def crawl(ctx: Context, url: str) -> Page:
    """Take an input."""
    return await ctx.run(fetch, url)


@workflow(version=2)
async def tidy(ctx: Context) -> int:
    """Take none."""
    return 0


async def functions(ctx: Context) -> None:
    """Steps that are functions."""
    assert_type(await ctx.run(fetch, "u"), Page)
    assert_type(await ctx.run(fetch, url="u"), Page)
    assert_type(await ctx.run(shorten, "t", suffix="…"), str)
    assert_type(await ctx.run(count, Page("u", [])), int)
    ctx.compensate(shorten, "t", suffix="…")
    ctx.compensate(count, page=Page("u", []))
    ctx.compensate(Pages.read, "u")
    ctx.compensate(shorten, "t")  # type: ignore[call-overload]
    ctx.compensate(Pages.read, 3)  # type: ignore[call-overload]
    await ctx.run(fetch, 3)  # type: ignore[call-overload]
    await ctx.run(fetch)  # type: ignore[call-overload]
    await ctx.run(fetch, "u", "v")  # type: ignore[call-overload]
    await ctx.run(shorten, "t")  # type: ignore[call-overload]
    await ctx.run(shorten, "t", 80, suffix="…")  # type: ignore[call-arg]
    await ctx.run(shorten, "t", suffix=3)  # type: ignore[arg-type]
    await ctx.run(len, "t")  # type: ignore[call-overload]


async def in_any_place(ctx: Context, pages: Pages) -> str:
    """What an operation gives goes wherever a value of its type goes, however little that place asks for."""
    assert_type(len(await ctx.run(shorten, "t", suffix="…")), int)
    assert_type(str(await ctx.run(count, Page("u", []))), str)
    assert_type(max(await ctx.run(count, Page("u", [])), 3), int)
    assert_type(len(await ctx.map(Pages.read, ["u"])), int)
    assert_type(sum(await ctx.map(count, [Page("u", [])])), int)
    assert_type(bool(await ctx.child(crawl, "u")), bool)
    repr((await ctx.run(Pages.read, "u"), await ctx.run(pages.rate, Page("u", []))))
    ctx.publish("found", await ctx.run(fetch, "u"))
    ctx.publish("found", await ctx.child(crawl, "u"))
    ctx.publish("found", [await ctx.map(fetch, ["u"]), await ctx.gather(ctx.run(fetch, "u"), ctx.sleep(1))])
    if await ctx.run(count, Page("u", [])) > 1:
        ctx.continue_as(await ctx.run(fetch, "u"))
    return f"{await ctx.run(fetch, 'u')}: {await ctx.run(Pages.rate, Page('u', [])):.1f}"


async def methods(ctx: Context, pages: Pages) -> None:
    """Steps that are methods, named through their class or an instance."""
    assert_type(await ctx.run(Pages.read, "u"), Page)
    assert_type(await ctx.run(pages.read, "u"), Page)
    assert_type(await ctx.run(Pages.rate, Page("u", []), most=2.0), float)
    await ctx.run(Pages.read, 3)  # type: ignore[call-overload]
    await ctx.run(Pages.read)  # type: ignore[call-overload]
    await ctx.run(Pages.read, pages, "u")  # type: ignore[call-overload]
    await ctx.run(pages.read, 3)  # type: ignore[call-overload]
    await ctx.run(Pages.rate, Page("u", []), most="2")  # type: ignore[arg-type]


async def fan_out(ctx: Context) -> None:
    """Maps and gathers."""
    assert_type(await ctx.map(fetch, ["u"], at_once=8), list[Page])
    assert_type(await ctx.map(Pages.read, ["u"]), list[Page])
    assert_type(await ctx.gather(ctx.run(fetch, "u"), ctx.run(count, Page("u", []))), tuple[Page, int])
    page, number = ctx.run(fetch, "u"), ctx.run(count, Page("u", []))
    assert_type(await ctx.gather(page, number), tuple[Page, int])
    assert_type(await ctx.gather(ctx.child(tidy), ctx.sleep(1)), tuple[int, None])
    branches = [ctx.run(fetch, url) for url in "abc"]
    assert_type(await ctx.gather(*branches), tuple[Page, ...])
    await ctx.map(fetch, [3])  # type: ignore[arg-type]
    await ctx.map(count, ["u"])  # type: ignore[arg-type]
    await ctx.map(shorten, ["t"])  # type: ignore[arg-type]


async def waits(ctx: Context) -> None:
    """Signals."""
    assert_type(await ctx.receive("page", Page), Page)
    assert_type(await ctx.receive("page"), Any)
    await ctx.receive("page", Page, timeout="soon")  # type: ignore[call-overload]
    await ctx.sleep("long")  # type: ignore[arg-type]


async def runs(engine: Engine) -> None:
    """Starting workflows."""
    assert_type(await (await engine.start(crawl, "u", id="crawl-42")).result(), Page)
    assert_type(await (await engine.start(tidy)).result(), int)
    await engine.start(crawl, 3)  # type: ignore[misc]
    await engine.start(crawl)  # type: ignore[arg-type]
    await engine.start(tidy, "u")  # type: ignore[misc]
    await engine.start(fetch, "u")  # type: ignore[call-overload]


async def schedules(engine: Engine) -> None:
    """A schedule takes its workflow's input, and names itself and its times."""
    schedule: Schedule = await engine.schedule(crawl, "u", id="c", cron="@daily")
    assert_type((await schedule.describe()).next_at, datetime | None)
    await engine.schedule(tidy, id="t", cron="0 9 * * 1-5", zone="Europe/Berlin", catch_up=3_600)
    await engine.schedule(crawl, 3, id="c", cron="@daily")  # type: ignore[misc]
    await engine.schedule(tidy, "u", id="t", cron="@daily")  # type: ignore[misc]
    await engine.schedule(tidy, cron="@daily")  # type: ignore[call-overload]
    await engine.schedule(tidy, id="t")  # type: ignore[call-overload]


async def direct(pages: Pages) -> None:
    """A step that is called directly stays the function that it was."""
    assert_type(await fetch("u"), Page)
    assert_type(count(Page("u", [])), int)
    assert_type(await pages.read("u"), Page)
    assert_type(pages.rate(Page("u", [])), float)
    assert_type(await Pages.read(pages, "u"), Page)
    await fetch(3)  # type: ignore[arg-type]
    await pages.read(3)  # type: ignore[arg-type]
    await Pages.read("u")  # type: ignore[arg-type,call-arg]


@workflow  # type: ignore[arg-type]
def not_async(ctx: Context) -> int:
    """Be no coroutine."""
    return 1
