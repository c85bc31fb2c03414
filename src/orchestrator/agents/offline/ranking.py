"""Which sentences say most: TextRank (Mihalcea and Tarau 2004), bounded."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.agents.offline.reading import Sentence

MAX_RANKED = 160  # pairs grow with the square; a longer section is ranked by an even sample
MAX_SHARING = 40  # a word in more sentences than that tells none of them apart
DAMPING = 0.85
ROUNDS = 25
MIN_WORDS = 5
MAX_WORDS = 45


def ranked(sentences: Sequence[Sentence]) -> list[tuple[int, float]]:
    """Positions of the sentences worth quoting with their rank, the best first."""
    worth = [
        position
        for position, sentence in enumerate(sentences)
        if MIN_WORDS <= len(sentence.words) <= MAX_WORDS and not sentence.text.rstrip().endswith((":", "?"))
    ]
    sample = worth[:: -(-len(worth) // MAX_RANKED)] if worth else []
    ranks = _rank(
        [{word.stem for word in sentences[position].words if not word.small} for position in sample]
    )
    return sorted(zip(sample, ranks, strict=True), key=lambda pair: (-pair[1], pair[0]))


def _rank(bags: list[set[str]]) -> list[float]:
    similar = _similarity(bags)
    ranks = [1.0] * len(bags)
    out = [sum(row.values()) for row in similar]
    for _ in range(ROUNDS):
        ranks = [
            1 - DAMPING + DAMPING * sum(ranks[other] * weight / out[other] for other, weight in row.items())
            for row in similar
        ]
    return ranks


def _similarity(bags: list[set[str]]) -> list[dict[int, float]]:
    """For each sentence those it shares words with: shared words over the logarithms of both lengths."""
    holders: dict[str, list[int]] = defaultdict(list)
    for position, bag in enumerate(bags):
        for word in sorted(bag):
            holders[word].append(position)
    shared: dict[tuple[int, int], int] = defaultdict(int)
    for positions in holders.values():
        for pair in combinations(positions[:MAX_SHARING], 2):
            shared[pair] += 1
    rows: list[dict[int, float]] = [{} for _ in bags]
    for (one, other), count in shared.items():
        weight = count / (1 + math.log(len(bags[one])) + math.log(len(bags[other])))
        rows[one][other] = rows[other][one] = weight
    return rows
