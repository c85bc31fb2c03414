"""What README shows, works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
RESULT = "['Hello, Ada!', 'Hello, Grace!']"


@pytest.mark.acceptance
def test_the_workflow_in_readme_runs_and_is_not_run_again(tmp_path: Path) -> None:
    """The example greets and prints its result; the second time it prints that alone, from the journal."""
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert "ctx.sleep(5)" in example
    (tmp_path / "welcome.py").write_text(example.replace("ctx.sleep(5)", "ctx.sleep(0.1)"))
    first, second = [
        subprocess.run(
            [sys.executable, "welcome.py"], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for _ in range(2)
    ]
    assert set(first[:-1]) == {"Greeting Ada", "Greeting Grace"}
    assert (len(first), first[-1]) == (3, RESULT)
    assert second == [RESULT]


def test_every_file_that_readme_links_to_is_there() -> None:
    """No link of README leads nowhere."""
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target
