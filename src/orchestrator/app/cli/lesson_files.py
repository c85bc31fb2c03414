"""A finished lesson on the disk: ``lesson.md`` with its pictures in ``images`` beside it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.core.errors import ConflictError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LESSON_FILE = "lesson.md"
PICTURES_FOLDER = "images"  # as the lesson's own links have it
LONGEST_NAME_CHARS = 60
MOST_FOLDERS_OF_A_NAME = 1_000

Material = dict[str, str]  # title and text, as `POST /api/sessions` takes them


def folder_for(topic: str, out: Path | None, *, overwrite: bool) -> Path:
    """Where the lesson will be written: ``out``, or a folder here that is named after the topic.

    Raises:
        ConflictError: ``out`` holds a lesson already, and it is not to be overwritten; or nothing can be
            written there.
    """
    if out is None:
        folder = _free(Path(_slug(topic)))
        _check_writable(folder)
        return folder
    _check_writable(out)
    if (out / LESSON_FILE).exists() and not overwrite:
        raise ConflictError(
            f"{out / LESSON_FILE} is there already. Give another folder with --out, or --force to replace it."
        )
    return out


def read_materials(files: Sequence[Path]) -> list[Material]:
    """The learner's own files, titled by their names.

    Raises:
        InvalidInputError: one cannot be read, is empty, or is no text.
    """
    return [{"title": file.stem[:LONGEST_NAME_CHARS], "text": _read(file)} for file in files]


def write_lesson(folder: Path, markdown: str, pictures: Mapping[str, bytes]) -> Path:
    """Write the lesson, and its pictures by file name where it links to them; gives the Markdown's path.

    Raises:
        ConflictError: the folder cannot be written.
    """
    try:
        (folder / PICTURES_FOLDER).mkdir(parents=True, exist_ok=True)
        for name, data in pictures.items():
            (folder / PICTURES_FOLDER / name).write_bytes(data)
        path = folder / LESSON_FILE
        path.write_text(markdown, encoding="utf-8")
    except OSError as error:
        raise ConflictError(
            f"The lesson cannot be written to {folder}: {error.strerror}. It is kept in its session: "
            "ask for it with --resume and another --out."
        ) from error
    return path


def _read(file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise InvalidInputError(f"{file} is not text in UTF-8. Give texts or Markdown.") from None
    if not text.strip():
        raise InvalidInputError(f"{file} is empty. Leave it out.")
    return text


def _check_writable(folder: Path) -> None:
    place = (folder / PICTURES_FOLDER).resolve()
    nearest = next(path for path in (place, *place.parents) if path.exists())
    if not nearest.is_dir():
        raise ConflictError(f"{nearest} is a file, not a folder. Give another folder with --out.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConflictError(f"{nearest} cannot be written by this user. Give another folder with --out.")


def _slug(topic: str) -> str:
    words = re.findall(r"\w+", topic.lower())
    return "-".join(words)[:LONGEST_NAME_CHARS].strip("-_") or "lesson"


def _free(folder: Path) -> Path:
    """``folder`` if no lesson is in it, else the first such among ``folder-2``, ``folder-3`` and so on."""
    candidates = [folder, *(Path(f"{folder}-{number}") for number in range(2, MOST_FOLDERS_OF_A_NAME))]
    return next(candidate for candidate in candidates if not (candidate / LESSON_FILE).exists())
