"""How a lesson in the making is shown: drawn in place on a terminal, as plain lines elsewhere, or as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from orchestrator.app.cli.times import duration

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from rich.console import RenderableType

    from orchestrator.app.cli.screen import Screen

STEPS = ("analyze-topic", "generate-outline", "create-content", "generate-images", "finalize-lesson")

FRAMES_PER_SECOND = 12
TAIL_LINES = 8
INDENT = "  "
SHORTEST_LINE_CHARS = 20
ROOM_FOR_ECHO = 4  # a terminal writes ^C where the cursor stands; a line that it breaks upsets the drawing
MOST_TEXT_CHARS = 4_000  # what a tall terminal can show; the whole text is in the lesson
PLAIN_STEP_OF_PERCENT = 25
ALL_PERCENT = 100


class View(Protocol):
    """Someone who is shown a session's events, each exactly once and in order."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...

    def event(self, event: Mapping[str, Any]) -> None:
        """Show one event of the session's stream."""

    def note(self, text: str) -> None:
        """Tell people something beside the progress."""

    def finished(self, path: Path, result: Mapping[str, Any]) -> None:
        """Tell that the lesson lies at ``path``."""


def view_for(screen: Screen, *, as_json: bool) -> View:
    """The view that suits where the output goes."""
    if as_json:
        return JsonView(screen)
    return LiveView(screen) if screen.is_live else PlainView(screen)


class JsonView:
    """Every event as it came, one JSON line each, and nothing for people."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was opened."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Write the event."""
        self._screen.record(event)

    def note(self, text: str) -> None:
        """Say nothing: a script reads the events."""

    def finished(self, path: Path, result: Mapping[str, Any]) -> None:
        """Write where the lesson lies, and what it took."""
        told = {name: result[name] for name in ("summary", "generator", "usage")}
        self._screen.record({"type": "written", "path": str(path), **told})


class _PeopleView:
    """What both views for people have in common."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def finished(self, path: Path, result: Mapping[str, Any]) -> None:
        """Show the summary and who wrote it; the path alone goes to standard output."""
        writer = "the offline composer" if result["generator"] == "offline" else result["generator"]
        self._screen.note("")
        self._screen.note(result["summary"])
        self._screen.note("")
        self._screen.note(f"Written by {writer}{_spent(result['usage'])}, with {_pictures(result)}:", "dim")
        self._screen.line(str(path))


class PlainView(_PeopleView):
    """One line when a step starts, at every quarter of it, and when it ends."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(screen)
        self._steps = Steps()
        self._told_percent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing was opened."""

    def event(self, event: Mapping[str, Any]) -> None:
        """Write a line if there is something new to say."""
        step = self._steps.take(event)
        if step is None:
            return
        label = f"[{step.number}/{len(STEPS)}] {step.name}"
        if event["type"] == "step-start":
            self._told_percent = 0
            self.note(f"{label} …")
        elif event["type"] == "step-complete":
            self.note(f"{label} done in {duration(step.duration_ms)}")
        elif step.begins_again:
            self.note(_again(label, step))
        elif self._told_percent + PLAIN_STEP_OF_PERCENT <= step.percent < ALL_PERCENT:
            self._told_percent = step.percent
            self.note(f"{label} {step.percent} %")

    def note(self, text: str) -> None:
        """Write a line."""
        self._screen.note(text)


class LiveView(_PeopleView):
    """The five steps, the running one with its percentage, and below it the text as it is written."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(screen)
        self._console = screen.err
        self._steps = Steps()
        self._spinner = Spinner("dots", style="cyan")
        self._stopped = False
        self._live = Live(
            console=self._console,
            get_renderable=self.drawing,
            refresh_per_second=FRAMES_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        self._stopped = False
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._steps.text = ""
        self._stopped = True
        self._live.stop()

    def event(self, event: Mapping[str, Any]) -> None:
        """Take the event; the next frame shows it."""
        step = self._steps.take(event)
        if step is not None and step.begins_again:
            self.note(_again(step.name, step))

    def note(self, text: str) -> None:
        """Write a line above the drawing."""
        self._console.print(Text(text, style="dim"))

    def drawing(self) -> RenderableType:
        """The present frame."""
        rows = Table(box=None, pad_edge=False, show_header=False)
        rows.add_column(width=1)
        rows.add_column(no_wrap=True, overflow="ellipsis")
        rows.add_column(justify="right", no_wrap=True)
        for name in STEPS:
            rows.add_row(*self._row(self._steps.by_name.get(name), name))
        tail = self._tail()
        return Group(rows, tail) if tail else rows

    def _row(self, step: Step | None, name: str) -> tuple[RenderableType, Text, Text]:
        if step is None:
            return Text("·", "dim"), Text(name, "dim"), Text("")
        if step.done:
            return Text("✓", "green"), Text(name), Text(duration(step.duration_ms), "dim")
        again = f" (attempt {step.attempt})" if step.attempt > 1 else ""
        if self._stopped:
            return Text("■", "yellow"), Text(f"{name} stopped", "yellow"), Text(f"{step.percent} %", "yellow")
        return self._spinner, Text(name + again, "bold cyan"), Text(f"{step.percent} %", "cyan")

    def _tail(self) -> RenderableType | None:
        """The last lines of what is being written, as wide as the terminal allows."""
        if not self._steps.text.strip():
            return None
        width = max(SHORTEST_LINE_CHARS, self._console.width - len(INDENT) - ROOM_FOR_ECHO)
        lines = Text(self._steps.text).wrap(self._console, width)[-TAIL_LINES:]
        return Text("\n" + "\n".join(INDENT + line.plain for line in lines), "dim")


@dataclass(slots=True)
class Step:
    """A step as far as it has come. ``begins_again``: its last event took back what it had said."""

    name: str
    number: int
    percent: int = 0
    attempt: int = 1
    begins_again: bool = False
    done: bool = False
    duration_ms: float = 0


@dataclass(slots=True)
class Steps:
    """What the events so far amount to; ``text`` is the end of what the running step has written."""

    by_name: dict[str, Step] = field(default_factory=dict)
    text: str = ""
    _names: dict[str, str] = field(default_factory=dict)

    def take(self, event: Mapping[str, Any]) -> Step | None:
        """Take one event in; gives the step that it is about, if it is about one."""
        kind, data = event["type"], event.get("data") or {}
        if not kind.startswith("step-"):
            return None
        if kind == "step-start":
            return self._start(event["step_id"], data)
        step = self.by_name.get(self._names.get(event["step_id"], ""))
        if step is not None:
            step.begins_again = False
        if step is not None and kind == "step-delta":
            self._progress(step, data)
        elif step is not None and kind == "step-complete":
            step.done, step.percent, step.duration_ms = True, ALL_PERCENT, float(data.get("duration") or 0)
        return step

    def _start(self, step_id: str, data: Mapping[str, Any]) -> Step:
        name = str(data["step_name"])
        step = Step(name, int(data.get("step_index", len(self.by_name))) + 1)
        self._names[step_id] = name
        self.by_name[name] = step
        self.text = ""
        return step

    def _progress(self, step: Step, data: Mapping[str, Any]) -> None:
        step.percent = int(data.get("progress") or step.percent)
        step.attempt = int(data.get("attempt") or step.attempt)
        if data.get("reset"):
            self.text = ""
            step.begins_again = True
        self.text = (self.text + str(data.get("delta") or ""))[-MOST_TEXT_CHARS:]


def _again(label: str, step: Step) -> str:
    return f"{label} failed and is tried again (attempt {step.attempt})"


def _spent(usage: Mapping[str, Any]) -> str:
    tokens = usage["prompt_tokens"] + usage["completion_tokens"]
    if not tokens:
        return ""
    about = "about " if usage["estimated"] else ""
    cost = "" if usage["cost_usd"] is None else f" (${float(usage['cost_usd']):.4f})"
    return f" for {about}{tokens:,} tokens{cost}"


def _pictures(result: Mapping[str, Any]) -> str:
    count = len(result["images"])
    return f"{count} picture{'' if count == 1 else 's'}"
