"""The demo: what it tells while the service works, and what it leaves behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[1]
LIMIT_S = 60


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    """The script, as a module."""
    spec = spec_from_file_location("demo", ROOT / "scripts" / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def event(kind: str, **data: object) -> dict[str, Any]:
    """An event of a session."""
    return {"type": kind, "data": data}


def test_each_section_and_each_picture_has_its_line(
    demo: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """A section is told once its heading is whole; the last picture, which ends its step, is told too."""
    teller = demo.Teller()
    for told in (
        event("step-start", step_name="create-content", step_index=2),
        event("step-delta", delta="## High", progress=0, part=1, parts=2),
        event("step-delta", delta=" tide\n\nWater ", progress=10, part=1, parts=2),
        event("step-delta", delta="## High tide\n\n", progress=10, part=1, parts=2, attempt=2, reset=True),
        event("step-delta", delta="## Low tide\n\n", progress=50, part=2, parts=2),
        event("step-complete", output="High tide: 9 words\nLow tide: 8 words", duration=12),
        event("step-start", step_name="generate-images", step_index=3),
        event("step-delta", delta="image2.jpg: Low", progress=50, part=2, parts=2),
        event("step-complete", output="image1.jpg: High\nimage2.jpg: Low", duration=30),
    ):
        teller.tell(told)
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == [
        "3. create-content",
        "1 of 2  High tide",
        "2 of 2  Low tide",
        "done in 12 ms",
        "4. generate-images",
        "1 of 2  image2.jpg: Low",
        "2 of 2  image1.jpg: High",
        "done in 30 ms",
    ]


@pytest.mark.acceptance
def test_every_address_that_the_demo_prints_answers(tmp_path: Path) -> None:
    """In a folder of its own it ends well, lesson and day are there, and its links lead somewhere."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "demo.py", tmp_path / "scripts")
    shutil.copytree(ROOT / "samples", tmp_path / "samples")
    demo = [sys.executable, "scripts/demo.py"]
    done = subprocess.run(
        demo, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S, check=True
    ).stdout
    try:
        assert (tmp_path / re.findall(r"^open (\S+)$", done, re.MULTILINE)[0]).exists()
        assert "heard clo, alex, ta, socratic: 0 from the cache, 4 anew" in done
        assert "next: week 1, day 2, prepared at" in done
        addresses = set(re.findall(r"http://\S+", done))
        assert len(addresses) == 3
        for address in addresses:
            assert requests.get(address, timeout=LIMIT_S).status_code == 200
    finally:
        os.kill(int(re.findall(r"process (\d+)", done)[0]), signal.SIGTERM)
