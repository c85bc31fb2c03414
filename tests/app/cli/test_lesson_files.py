"""The lesson on the disk: where it goes, what it may not replace, what it is made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.app.cli.lesson_files import folder_for, read_materials, write_lesson
from orchestrator.core.errors import ConflictError, InvalidInputError


@pytest.mark.parametrize(
    ("topic", "name"),
    [
        ("The French Revolution, 1789!", "the-french-revolution-1789"),
        ("../../etc/passwd", "etc-passwd"),
        ("Größe & Gewicht", "größe-gewicht"),
        ("???", "lesson"),
        ("x" * 500, "x" * 60),
    ],
)
def test_the_folder_is_named_after_the_topic(topic: str, name: str) -> None:
    """Words only: no topic leads out of the folder where the command was typed."""
    assert folder_for(topic, None, overwrite=False) == Path(name)


def test_an_earlier_lesson_is_never_replaced_unasked(tmp_path: Path) -> None:
    """A folder named after the topic gets a number; one that was asked for is refused without --force."""
    for expected in ("tides", "tides-2", "tides-3"):
        folder = folder_for("Tides", None, overwrite=False)
        assert folder == Path(expected)
        write_lesson(folder, "# Tides\n", {})
    with pytest.raises(ConflictError, match="--force"):
        folder_for("Tides", tmp_path / "tides", overwrite=False)
    assert folder_for("Tides", tmp_path / "tides", overwrite=True) == tmp_path / "tides"


def test_a_folder_that_cannot_be_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    """A file in the way of the lesson or of its pictures is found before the lesson is paid for."""
    (tmp_path / "file").write_text("")
    (tmp_path / "images").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper", tmp_path):
        with pytest.raises(ConflictError, match="is a file, not a folder"):
            folder_for("Tides", out, overwrite=True)
    assert folder_for("Tides", tmp_path / "new" / "deeper", overwrite=False) == tmp_path / "new" / "deeper"


def test_pictures_lie_where_the_lesson_links_to_them(tmp_path: Path) -> None:
    """The Markdown is written as it is, and its relative links hold."""
    markdown = "# Tides\n\n![The moon](images/image1.jpg)\n"
    path = write_lesson(tmp_path / "out", markdown, {"image1.jpg": b"jpeg"})
    assert path.read_text() == markdown
    assert (path.parent / "images/image1.jpg").read_bytes() == b"jpeg"


def test_a_lesson_that_cannot_be_written_is_not_lost(tmp_path: Path) -> None:
    """The message says that the session keeps it, and how to ask again."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConflictError, match=r"kept in its session.*--resume"):
        write_lesson(tmp_path / "file", "# Tides\n", {})


def test_materials_are_texts_titled_by_their_files(tmp_path: Path) -> None:
    """What is no text, empty or absent is refused before anything begins."""
    (tmp_path / "notes.md").write_text("The moon pulls.")
    assert read_materials([tmp_path / "notes.md"]) == [{"title": "notes", "text": "The moon pulls."}]
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    for name, said in (("empty.txt", "is empty"), ("photo.jpg", "not text"), ("absent", "cannot be read")):
        with pytest.raises(InvalidInputError, match=said):
            read_materials([tmp_path / name])
