"""The pytest plugin, in pytest runs of its own as users have them."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from textwrap import dedent

import pytest

from support.pytest_process import ALONE, AUTO, MODE, PLUGIN, run_pytest

PROJECT = Path(__file__).parents[2] / "pyproject.toml"

SLEEPER = dedent(
    """
    import asyncio
    import pytest
    from orchestrator import Context, workflow

    @workflow
    async def sleeper(ctx: Context) -> str:
        await ctx.sleep(30 * 86_400)
        return "awake"

    async def month(orchestrator_engine, orchestrator_clock):
        async with orchestrator_engine(workflows=[sleeper]) as engine:
            await engine.start(sleeper, id="s")
            await orchestrator_clock.advance(days=29)
        async with orchestrator_engine(workflows=[sleeper]) as engine:
            await orchestrator_clock.advance(days=1)
            assert await (await engine.get("s")).result() == "awake"
    """
)
ASYNC_TEST = SLEEPER + dedent(
    """
    async def test_month(orchestrator_engine, orchestrator_clock):
        await month(orchestrator_engine, orchestrator_clock)
    """
)
MARKED = "import pytest\npytestmark = pytest.mark.anyio\n" + ASYNC_TEST
BACKEND = "import pytest\n@pytest.fixture\ndef anyio_backend():\n    return {!r}\n"

pytestmark = pytest.mark.acceptance


def test_async_tests_by_pytest_asyncio(tmp_path: Path) -> None:
    """A month and a restart, in a test that knows nothing of files or clocks."""
    done = run_pytest(tmp_path, {"test_it.py": ASYNC_TEST}, *ALONE, *PLUGIN, *AUTO)
    assert "1 passed" in done.stdout, done.stdout


def test_async_tests_by_anyio(tmp_path: Path) -> None:
    """The same fixtures serve anyio's tests."""
    files = {"test_it.py": MARKED, "conftest.py": BACKEND.format("asyncio")}
    done = run_pytest(tmp_path, files, *ALONE, *PLUGIN, "-p", "anyio.pytest_plugin")
    assert "1 passed" in done.stdout, done.stdout


def test_another_loop_than_asyncio_is_refused_in_words(tmp_path: Path) -> None:
    """The engine runs on asyncio; a test on trio says how to get there."""
    files = {"test_it.py": MARKED, "conftest.py": BACKEND.format("trio")}
    done = run_pytest(tmp_path, files, *ALONE, *PLUGIN, "-p", "anyio.pytest_plugin")
    assert "the engine runs on asyncio, and this test on trio" in done.stdout


def test_a_plain_test_may_run_the_loop_itself(tmp_path: Path) -> None:
    """No async plugin is needed by who calls asyncio.run."""
    test = "def test_month(orchestrator_engine, orchestrator_clock):\n"
    test += "    asyncio.run(month(orchestrator_engine, orchestrator_clock))\n"
    done = run_pytest(tmp_path, {"test_it.py": SLEEPER + test}, *ALONE, *PLUGIN)
    assert "1 passed" in done.stdout, done.stdout


def test_what_is_missing_for_async_tests_is_named(tmp_path: Path) -> None:
    """Without a plugin for async tests ours fail with what to install, and other tests run as they did."""
    other = "def test_other():\n    pass\n"
    done = run_pytest(tmp_path, {"test_it.py": ASYNC_TEST + other}, *ALONE, *PLUGIN)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert "Install pytest-asyncio, and set asyncio_mode = auto" in done.stdout


def test_a_model_that_ran_out_fails_the_test(tmp_path: Path) -> None:
    """Also where the workflow put up with a model that had no answer."""
    test = dedent(
        """
        import pytest
        from orchestrator.agents.model import Prompt
        from orchestrator.testing import ScriptEndedError

        async def test_model(orchestrator_model):
            model = orchestrator_model("One.")
            await model.stream(Prompt("", "first", "1"), lambda _: None)
            with pytest.raises(ScriptEndedError):
                await model.stream(Prompt("", "second", "2"), lambda _: None)
        """
    )
    done = run_pytest(tmp_path, {"test_it.py": test}, *ALONE, *PLUGIN, *AUTO)
    assert "1 passed, 1 error" in done.stdout, done.stdout
    assert "the scripted model has no answer to stream: 'second'" in done.stdout


def test_crashes_leave_their_journals_for_who_looks(tmp_path: Path) -> None:
    """A failing crash test says where the journals are."""
    test = SLEEPER + dedent(
        """
        import itertools
        COUNT = itertools.count()

        @workflow
        async def counting(ctx: Context) -> int:
            return next(COUNT)

        async def test_sound(orchestrator_crash_everywhere):
            assert (await orchestrator_crash_everywhere(sleeper)).result == "awake"

        async def test_unsound(orchestrator_crash_everywhere):
            await orchestrator_crash_everywhere(counting)
        """
    )
    folder = str(tmp_path / "runs")
    done = run_pytest(tmp_path, {"test_it.py": test}, *ALONE, *PLUGIN, *AUTO, "--basetemp", folder)
    assert "1 failed, 1 passed" in done.stdout, done.stdout
    assert f"The journals are kept in {folder}/test_unsound0/crashes-" in done.stdout
    assert len(list(tmp_path.glob("runs/test_unsound0/crashes-*/undisturbed.db"))) == 1


def test_pytest_finds_the_plugin_where_the_package_is_installed(tmp_path: Path) -> None:
    """The entry point that the project declares gives the fixtures to every run, also beside ``-p``."""
    points = tomllib.loads(PROJECT.read_text())["project"]["entry-points"]["pytest11"]
    installed = tmp_path / "site" / "installed-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: installed\nVersion: 1.0\n")
    lines = "".join(f"{name} = {module}\n" for name, module in points.items())
    (installed / "entry_points.txt").write_text(f"[pytest11]\n{lines}")
    for options in [MODE, (*MODE, *PLUGIN)]:
        quick = (*options, "-p", "no:schemathesis")  # which takes longer to import than all else here
        done = run_pytest(tmp_path, {"test_it.py": ASYNC_TEST}, *quick, path=str(tmp_path / "site"))
        assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_plugin_costs_other_tests_nothing() -> None:
    """Loading it loads nothing of the engine: not pydantic, not SQLite."""
    code = (
        "import sys, pytest; before = set(sys.modules); import orchestrator.testing.plugin; "
        "print(sorted(set(sys.modules) - before - {'orchestrator', 'orchestrator.testing'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['orchestrator.testing.plugin']"
