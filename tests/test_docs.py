"""The programs that the documentation shows, run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.pytest_process import ALONE, AUTO, PLUGIN, run_pytest

DOCS = Path(__file__).parents[1] / "docs"
SCHEDULES = DOCS / "schedules.md"
# By guide: what each of its programs prints, in their order.
PRINTED = {
    "workflows.md": [
        ["Crawl: 19 words"],
        [
            "program.py:13: book → hash: text hashes that differ in each process; use hashlib",
            "program.py:8: book → Order.stamp → time.time: the machine's clock; use ctx.now()",
            "Where a function gives the same on every replay all the same, mark it with @deterministic.",
        ],
        ["Tides: published"],
        ["step-progress tell 1 {'word': 'once', 'percent': 25}", "run-completed  0 4"],
        [
            "no appendix: nobody has seen one",
            "['tides with a picture of tides', 'winds with a picture of winds']",
            "book-1-appendix failed child of book-1\nbook-1.2 completed child of book-1\nbook-1.1 completed",
        ],
        [
            "sent tea, milk\nsent jam, salt\n2 parcels",
            "['run-started', 'signal-received', 'signal-received', 'run-completed']",
        ],
        ["paused []\nposted an invitation"],
        ["gave back machine-7", "run_cancelled"],
        [
            "cancelled train-1",
            "paid back to Ada",
            "no room left",
            "('undo/1', 'cancel'), ('undo/2', 'refund')",
        ],
        ["researched tides\ndry: facts about tides\nmerry: facts about tides\nTrue"],
        [
            "pending - waits for a place in limit 'deliver by key' of 'Ada' (1 of 1 taken)",
            "packing 1 for Ada\npacking 3 for Ada\npacking 2 for Ada\n['parcel 1', 'parcel 2', 'parcel 3']",
        ],
    ],
    "payloads.md": [
        [
            "result: {'user': 'ada', 'password': 'lovelace'}",
            "run-started ***",
            "step-progress logging in with password=***",
            "step-completed {'user': 'ada', 'password': '***'}",
            "on disk: False",
        ]
    ],
    "streams.md": [["done: 1", "done: 3", "dead: b'two' of billing because: invalid literal", "trimmed: 2"]],
    "schedules.md": [re.findall(r"^(?:morning-report@|next: ).*$", SCHEDULES.read_text(), re.MULTILINE)],
}


def programs(guide: str) -> list[str]:
    """The programs that a guide shows."""
    return re.findall(r"```python\n(.*?)```", (DOCS / guide).read_text(), re.DOTALL)


SHOWN = [
    pytest.param(program, printed, id=f"{guide}-{number}")
    for guide, expected in PRINTED.items()
    for number, (program, printed) in enumerate(zip(programs(guide), expected, strict=True), 1)
]


def anchor(title: str) -> str:
    """Where a section of that title is found, on GitHub and on the built pages."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_the_guide_begins_with_links_to_all_its_sections() -> None:
    """In the order in which they come, so that the page can be seen at a glance."""
    text = (DOCS / "workflows.md").read_text()
    listed = re.findall(r"\]\(#([\w-]+)\)", text.partition("\n## ")[0])
    assert listed == [anchor(title) for title in re.findall(r"^## (.+)$", text, re.MULTILINE)]


def test_every_page_can_be_found() -> None:
    """Each is in the navigation, and each but the front page is linked from there."""
    pages = {page.name for page in DOCS.glob("*.md")} - {"plan.md"}
    navigation = (DOCS.parent / "mkdocs.yml").read_text().partition("\nnav:")[2]
    assert pages <= set(re.findall(r": (\w+\.md)", navigation))
    assert pages - {"index.md"} <= set(re.findall(r"\]\((\w+\.md)\)", (DOCS / "index.md").read_text()))


@pytest.mark.acceptance
@pytest.mark.parametrize(("program", "printed"), SHOWN)
def test_a_program_of_the_guide_prints_what_it_says(program: str, printed: list[str], tmp_path: Path) -> None:
    """Every program of the guide runs as it stands, and shows what the text around it promises."""
    (tmp_path / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for line in printed:
        assert line in done.stdout


@pytest.mark.acceptance
def test_the_test_files_that_the_guide_shows_do_what_it_says(tmp_path: Path) -> None:
    """Each is a test file that passes as it stands, but for the one that fails with the message shown."""
    files = {f"test_{number}.py": text for number, text in enumerate(programs("testing.md"), 1)}
    done = run_pytest(tmp_path, files, *ALONE, *PLUGIN, *AUTO)
    assert "1 failed, 4 passed" in done.stdout, done.stdout
    assert "FAILED test_4.py::test_an_order_is_charged_once " in done.stdout
    (message,) = re.findall(r"```text\n(.*?)```", (DOCS / "testing.md").read_text(), re.DOTALL)
    said = "\n".join(line.removeprefix("E       ") for line in done.stdout.splitlines())
    assert message in said
