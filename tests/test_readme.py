"""What README shows, works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_workflow_in_readme_runs_and_is_not_run_again(tmp_path: Path) -> None:
    """The example prints its result, and the same again from the journal, without greeting twice."""
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    counted = example.replace('    return f"Hello', "    print('greeting', name)\n    return f\"Hello")
    (tmp_path / "example.py").write_text(counted)
    first, second = [
        subprocess.run(
            [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert first.count("greeting") == 2
    assert first.endswith("['Hello, Ada!', 'Hello, Grace!']\n")
    assert second == "['Hello, Ada!', 'Hello, Grace!']\n"


def test_every_file_that_readme_links_to_is_there() -> None:
    """No link of README leads nowhere."""
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target
