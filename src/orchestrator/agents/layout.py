"""Where the boxes of a map stand: springs pull linked boxes together, then nothing may overlap.

A link's label is a box of its own between the two ends, so that it is kept clear like any other. Nothing is
random: the same boxes give the same places. After Fruchterman and Reingold (1991).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS = 260
TIGHTENINGS = 4
GAP_PX = 24.0
LABEL_REACH = 1.5
RING_PX = 250.0
ASPECT = 0.72  # height to width: screens are wider than tall
MOST_SEPARATIONS = 600
SEPARATIONS_PER_STRETCH = 50  # a crowded middle gets more room now and then


@dataclass(slots=True)
class Box:
    """A box by its centre and size, in pixels."""

    width: float
    height: float
    x: float = 0.0
    y: float = 0.0

    def overlap(self, other: Box, gap: float) -> tuple[float, float]:
        """How far the boxes with ``gap`` between them reach into each other; not positive where clear."""
        across = (self.width + other.width) / 2 + gap - abs(self.x - other.x)
        down = (self.height + other.height) / 2 + gap - abs(self.y - other.y)
        return across, down


def arrange(boxes: Sequence[Box], springs: Sequence[tuple[int, int]], labels_from: int) -> None:
    """Give each box its place; those from ``labels_from`` on are labels. No two overlap afterwards."""
    _in_rings(boxes, springs)
    for turn in range(ROUNDS):
        _move(boxes, springs, labels_from, heat=60.0 * (1 - turn / ROUNDS) + 1.0)
    _separate(boxes)
    for _ in range(TIGHTENINGS):
        _tighten(boxes)


def _tighten(boxes: Sequence[Box]) -> None:
    """Draw everything together, both ways and then along the longer side, until boxes would touch."""
    width = max(box.x for box in boxes) - min(box.x for box in boxes)
    height = max(box.y for box in boxes) - min(box.y for box in boxes)
    longer = (True, False) if width * ASPECT > height else (False, True)
    for ways in ((True, True), longer):
        shrink = max((_least_scale(one, other, ways) for one, other in combinations(boxes, 2)), default=1.0)
        for box in boxes:
            box.x *= shrink if ways[0] else 1.0
            box.y *= shrink if ways[1] else 1.0


def _least_scale(one: Box, other: Box, ways: tuple[bool, bool]) -> float:
    """The smallest factor for distances at which the two still stand clear of each other, 1 at most."""
    needed = ((one.width + other.width) / 2 + GAP_PX, (one.height + other.height) / 2 + GAP_PX)
    distances = (abs(one.x - other.x), abs(one.y - other.y))
    axes = list(zip(needed, distances, ways, strict=True))
    if any(not moves and distance >= need for need, distance, moves in axes):
        return 0.0  # clear along the axis that does not move
    return min((need / distance for need, distance, moves in axes if moves and distance), default=1.0)


def _in_rings(boxes: Sequence[Box], springs: Sequence[tuple[int, int]]) -> None:
    """Start in rings by distance from the first box, each box near the one that leads to it."""
    neighbours: list[list[int]] = [[] for _ in boxes]
    for one, other in springs:
        neighbours[one].append(other)
        neighbours[other].append(one)
    sectors = {0: (0.0, 2 * math.pi)}
    depths = {0: 0}
    waiting = deque([0])
    while waiting:
        reached = waiting.popleft()
        fresh = list(dict.fromkeys(other for other in neighbours[reached] if other not in sectors))
        start, end = sectors[reached]
        for number, other in enumerate(fresh):
            share = (end - start) / len(fresh)
            sectors[other] = (start + number * share, start + (number + 1) * share)
            depths[other] = depths[reached] + 1
            waiting.append(other)
    for number, box in enumerate(boxes):
        start, end = sectors.get(number, (float(number), float(number)))
        angle, radius = (start + end) / 2, RING_PX * depths.get(number, 2)
        box.x, box.y = math.cos(angle) * radius, math.sin(angle) * radius * ASPECT


def _move(boxes: Sequence[Box], springs: Sequence[tuple[int, int]], labels_from: int, heat: float) -> None:
    pushes = [[0.0, 0.0] for _ in boxes]
    for one in range(len(boxes)):
        for other in range(one):
            _repel(boxes, one, other, pushes, reach=math.inf if one < labels_from else LABEL_REACH)
    for one, other in springs:
        _attract(boxes, one, other, pushes)
    for box, (across, down) in list(zip(boxes, pushes, strict=True))[1:]:
        length = math.hypot(across, down)
        step = min(length, heat) / length if length else 0.0
        box.x += across * step
        box.y += down * step


def _repel(boxes: Sequence[Box], one: int, other: int, pushes: list[list[float]], reach: float) -> None:
    first, second = boxes[one], boxes[other]
    # Distances count in units of the boxes' own size, so that wide boxes keep more room at their sides.
    wide = (first.width + second.width) / 2 + GAP_PX
    tall = (first.height + second.height) / 2 + GAP_PX
    across, down = (first.x - second.x) / wide, (first.y - second.y) / tall
    distance = max(math.hypot(across, down), 0.05)
    force = 40.0 / distance**2 if distance < reach else 0.0
    _push(pushes, one, other, (across / distance * force * ASPECT**-1, down / distance * force))


def _attract(boxes: Sequence[Box], one: int, other: int, pushes: list[list[float]]) -> None:
    first, second = boxes[one], boxes[other]
    across, down = first.x - second.x, first.y - second.y
    clear = (min(first.width, second.width) + min(first.height, second.height)) / 2 + GAP_PX
    distance = max(math.hypot(across, down), 1.0)
    force = -0.2 * max(0.0, distance - clear) / distance
    _push(pushes, one, other, (across * force, down * force))


def _push(pushes: list[list[float]], one: int, other: int, force: tuple[float, float]) -> None:
    for axis in (0, 1):
        pushes[one][axis] += force[axis]
        pushes[other][axis] -= force[axis]


def _separate(boxes: Sequence[Box]) -> None:
    """Shift overlapping boxes apart along the shorter way until none overlap."""
    for turn in range(MOST_SEPARATIONS):
        clashes = False
        for one in range(len(boxes)):
            for other in range(one):
                clashes |= _part(boxes[one], boxes[other], one, other)
        if not clashes:
            return
        if turn % SEPARATIONS_PER_STRETCH == SEPARATIONS_PER_STRETCH - 1:
            for box in boxes:
                box.x, box.y = box.x * 1.1, box.y * 1.1


def _part(first: Box, second: Box, one: int, other: int) -> bool:
    across, down = first.overlap(second, GAP_PX)
    if across <= 0 or down <= 0:
        return False
    side = math.copysign(1.0, first.x - second.x or one - other)
    height = math.copysign(1.0, first.y - second.y or one - other)
    half = min(across, down) / 2 + 0.5
    shift = (side * half, 0.0) if across < down else (0.0, height * half)
    first.x, first.y = first.x + shift[0], first.y + shift[1]
    second.x, second.y = second.x - shift[0], second.y - shift[1]
    return True
