"""The part of the materials that fits into a prompt: what has most to do with the matter at hand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.features.lessons.lesson import Material

if TYPE_CHECKING:
    from collections.abc import Sequence

_PARAGRAPHS = re.compile(r"\n\s*\n")
_WORD = re.compile(r"\w{4,}")
LONGEST_PARAGRAPH_CHARS = 4_000


def excerpts(materials: Sequence[Material], about: str, limit_chars: int) -> list[Material]:
    """The materials as they are, if they fit; else their paragraphs that share most words with ``about``.

    Paragraphs keep their order and their material; of equally close ones the earlier wins.
    """
    if sum(len(material.text) for material in materials) <= limit_chars:
        return list(materials)
    wanted = set(_WORD.findall(about.casefold()))
    paragraphs = [
        (number, part)
        for number, material in enumerate(materials)
        for paragraph in _PARAGRAPHS.split(material.text)
        for part in _cut(paragraph.strip())
    ]
    shared = [len(wanted.intersection(_WORD.findall(text.casefold()))) for _, text in paragraphs]
    kept, room = set(), limit_chars
    for position in sorted(range(len(paragraphs)), key=lambda position: (-shared[position], position)):
        if len(paragraphs[position][1]) <= room:
            kept.add(position)
            room -= len(paragraphs[position][1])
    chosen = [paragraphs[position] for position in sorted(kept)]
    return [
        Material(title=material.title, text="\n\n".join(text for owner, text in chosen if owner == number))
        for number, material in enumerate(materials)
        if any(owner == number for owner, _ in chosen)
    ]


def _cut(paragraph: str) -> list[str]:
    """A paragraph in pieces short enough to choose from."""
    return [
        paragraph[start : start + LONGEST_PARAGRAPH_CHARS]
        for start in range(0, len(paragraph), LONGEST_PARAGRAPH_CHARS)
    ]
