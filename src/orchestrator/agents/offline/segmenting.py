"""Cutting a text without headings where its subject changes: TextTiling (Hearst 1997)."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS_PER_SECTION = 90
WINDOW_WORDS = 60
PARAGRAPHS_PER_SECTION = 3
MIN_SECTION_WORDS = 45  # in a short text less: half of an even share


def cuts(bags: Sequence[Counter[str]], most: int) -> list[int]:
    """Where to cut: positions in ``bags`` (the content words of each paragraph) that begin a new part.

    At each gap the words just before and just after are compared; the deepest valleys of likeness are cut,
    about one per 90 content words and ``most`` parts at most, none of them tiny.
    """
    sizes = [sum(bag.values()) for bag in bags]
    by_size = round(sum(sizes) / WORDS_PER_SECTION)
    by_paragraphs = -(-len(bags) // PARAGRAPHS_PER_SECTION)
    wanted = min(most, max(by_size, by_paragraphs)) - 1
    if wanted < 1:
        return []
    least = min(MIN_SECTION_WORDS, sum(sizes) // (2 * (wanted + 1)))
    likeness = [_likeness(_before(bags, gap), _after(bags, gap)) for gap in range(1, len(bags))]
    depths = {gap: _depth(likeness, gap - 1) for gap in range(1, len(bags))}
    chosen: list[int] = []
    for gap in sorted(depths, key=lambda gap: (-depths[gap], gap)):
        edges = sorted([0, *chosen, gap, len(bags)])
        parts = pairwise(edges)
        if all(sum(sizes[start:end]) >= least for start, end in parts):
            chosen.append(gap)
        if len(chosen) == wanted:
            break
    return sorted(chosen)


def _before(bags: Sequence[Counter[str]], gap: int) -> Counter[str]:
    return _window(bags, range(gap - 1, -1, -1))


def _after(bags: Sequence[Counter[str]], gap: int) -> Counter[str]:
    return _window(bags, range(gap, len(bags)))


def _window(bags: Sequence[Counter[str]], positions: range) -> Counter[str]:
    window: Counter[str] = Counter()
    total = 0
    for position in positions:
        window.update(bags[position])
        total += sum(bags[position].values())
        if total >= WINDOW_WORDS:
            break
    return window


def _likeness(one: Counter[str], other: Counter[str]) -> float:
    """Cosine of the two counts, from 0 to 1."""
    product = sum(count * other[word] for word, count in one.items())
    length = math.sqrt(sum(n * n for n in one.values()) * sum(n * n for n in other.values()))
    return product / length if length else 0.0


def _depth(likeness: list[float], position: int) -> float:
    """How far the likeness rises from this valley to the peaks on both sides."""
    left = right = likeness[position]
    for value in reversed(likeness[:position]):
        if value < left:
            break
        left = value
    for value in likeness[position + 1 :]:
        if value < right:
            break
        right = value
    return (left - likeness[position]) + (right - likeness[position])
