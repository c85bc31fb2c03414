"""What people see of a lesson in the making."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from orchestrator.app.cli.lesson_view import JsonView, LiveView, PlainView, Steps, view_for
from orchestrator.app.cli.screen import Screen
from orchestrator.app.cli.times import duration

if TYPE_CHECKING:
    from pathlib import Path


def event(kind: str, number: int = 1, **data: object) -> dict[str, Any]:
    """An event of the step of that number."""
    return {"type": kind, "session_id": "s", "step_id": f"step-{number}", "data": data}


START = event("step-start", step_name="analyze-topic", step_index=0)
DONE = event("step-complete", step_name="analyze-topic", output="…", duration=2_500)


@pytest.fixture
def screen() -> Screen:
    """A screen whose standard error is a terminal of 60 columns, kept in ``screen.err.file``."""
    made = Screen()
    made.err = Console(file=io.StringIO(), force_terminal=True, width=60, height=20, legacy_windows=False)
    return made


def written(screen: Screen) -> str:
    """What stands on the screen's standard error."""
    assert isinstance(screen.err.file, io.StringIO)
    return screen.err.file.getvalue()


def test_steps_add_up_what_events_tell() -> None:
    """Percentages, attempts and the text follow the events; ``reset`` takes back what was said."""
    steps = Steps()
    steps.take(START)
    steps.take(event("step-delta", delta="The wrong ", progress=20))
    steps.take(event("step-delta", delta="", progress=0, attempt=2, reset=True))
    step = steps.take(event("step-delta", delta="The right words", progress=60, attempt=2))
    assert step is not None
    assert (step.number, step.percent, step.attempt, steps.text) == (1, 60, 2, "The right words")
    steps.take(DONE)
    assert (step.done, step.percent, step.duration_ms) == (True, 100, 2_500)
    assert steps.take({"type": "connected", "session_id": "s"}) is None


def test_a_terminal_shows_steps_and_the_words_as_they_come(screen: Screen) -> None:
    """Drawn in place: done, running and waiting steps, with the tail of the text below."""
    with LiveView(screen) as view:
        view.event(START)
        view.event(DONE)
        view.event(event("step-start", 2, step_name="generate-outline", step_index=1))
        view.event(event("step-delta", 2, delta="First the sea, then the moon.", progress=40))
        screen.err.print(view.drawing())
    shown = written(screen)
    assert "2.5 s" in shown
    assert "40 %" in shown
    assert "First the sea, then the moon." in shown
    assert "finalize-lesson" in shown


def test_a_step_that_is_tried_again_says_so(screen: Screen) -> None:
    """A failing model is not silent: each further attempt has a line, drawn in place or not."""
    for view in (LiveView(screen), PlainView(screen)):
        with view:
            view.event(START)
            view.event(event("step-delta", delta="", progress=0, attempt=2, reset=True))
            view.event(event("step-delta", delta="x", progress=10, attempt=2))
    assert written(screen).count("analyze-topic failed and is tried again (attempt 2)") == 2


def test_what_is_left_of_the_drawing_does_not_look_alive(screen: Screen) -> None:
    """After Ctrl-C the row of the running step says that it stopped."""
    with LiveView(screen) as view:
        view.event(START)
    assert "analyze-topic stopped" in written(screen)


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A line at the start, at each quarter and at the end of a step, without any control characters."""
    view = view_for(Screen(), as_json=False)
    assert isinstance(view, PlainView)
    with view:
        for progress in (None, 10, 30, 40, 55, 100):
            view.event(START if progress is None else event("step-delta", delta="x", progress=progress))
        view.event(DONE)
    assert capsys.readouterr().err.splitlines() == [
        "[1/5] analyze-topic …",
        "[1/5] analyze-topic 30 %",
        "[1/5] analyze-topic 55 %",
        "[1/5] analyze-topic done in 2.5 s",
    ]


def test_scripts_get_json_lines_and_nothing_else(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Every event as it came; notes for people are left out."""
    view = view_for(Screen(), as_json=True)
    assert isinstance(view, JsonView)
    view.note("for people")
    view.event({"type": "connected", "session_id": "ä"})
    view.finished(
        tmp_path, {"summary": "s", "generator": "offline", "usage": {}, "lesson": "…", "images": {}}
    )
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        '{"type":"connected","session_id":"ä"}',
        f'{{"type":"written","path":"{tmp_path}","summary":"s","generator":"offline","usage":{{}}}}',
    ]


@pytest.mark.parametrize(
    ("milliseconds", "said"), [(0, "0 ms"), (999, "999 ms"), (2_540, "2.5 s"), (200_000, "3 min 20 s")]
)
def test_durations_are_said_in_a_fitting_unit(milliseconds: float, said: str) -> None:
    """Nobody reads 200000 ms."""
    assert duration(milliseconds) == said
