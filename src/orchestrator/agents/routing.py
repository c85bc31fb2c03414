"""Lines that go around boxes: the shortest way between two points over the corners of what stands between."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.agents.layout import Box

Point = tuple[float, float]
CLEARANCE_PX = 9.0  # less than half of the gap that the layout keeps, so that corners are never in a box


def route(start: Point, end: Point, obstacles: Sequence[Box]) -> list[Point]:
    """The points of a line from ``start`` to ``end`` that crosses none of the boxes, where there is one."""
    if clear(start, end, obstacles):
        return [start, end]
    points = [start, end, *(corner for box in obstacles for corner in _corners(box))]
    lengths = {0: 0.0}
    came: dict[int, int] = {}
    done: set[int] = set()
    waiting = [(math.dist(start, end), 0)]
    while waiting:
        _, here = heapq.heappop(waiting)
        if here == 1:
            return _way(points, came)
        if here in done:
            continue
        done.add(here)
        for other, point in enumerate(points):
            length = lengths[here] + math.dist(points[here], point)
            shorter = other not in done and length < lengths.get(other, math.inf)
            if shorter and clear(points[here], point, obstacles):
                lengths[other], came[other] = length, here
                heapq.heappush(waiting, (length + math.dist(point, end), other))
    return [start, end]


def clear(one: Point, other: Point, boxes: Sequence[Box]) -> bool:
    """Whether the straight line between the points keeps off all the boxes."""
    return not any(_meets(one, other, box) for box in boxes)


def _way(points: Sequence[Point], came: dict[int, int]) -> list[Point]:
    here, way = 1, [points[1]]
    while here in came:
        here = came[here]
        way.append(points[here])
    return way[::-1]


def _corners(box: Box) -> list[Point]:
    across, down = box.width / 2 + CLEARANCE_PX + 1, box.height / 2 + CLEARANCE_PX + 1
    return [(box.x + x * across, box.y + y * down) for x in (-1, 1) for y in (-1, 1)]


def _meets(one: Point, other: Point, box: Box) -> bool:
    """Whether the line enters the box with its clearance: Liang and Barsky's clipping (1984)."""
    enters, leaves = 0.0, 1.0
    for start, step, middle, size in (
        (one[0], other[0] - one[0], box.x, box.width),
        (one[1], other[1] - one[1], box.y, box.height),
    ):
        low, high = middle - size / 2 - CLEARANCE_PX - start, middle + size / 2 + CLEARANCE_PX - start
        if not step:
            if low >= 0 or high <= 0:
                return False
            continue
        first, last = sorted((low / step, high / step))
        enters, leaves = max(enters, first), min(leaves, last)
    return enters < leaves
