"""Cutting the power of an engine at one point of one of its writes."""

from __future__ import annotations

from dataclasses import dataclass

_WORDS = {
    "before-blobs": "before the files of the write after write {}",
    "after-blobs": "after the files of the write after write {}, before it began",
    "before-write": "before write {} began",
    "after-write": "in write {}, before its commit",
    "after-commit": "after the commit of write {}, before the engine knew of it",
    "before-delivery": "after write {}, before its run heard of it",
}


class PowerCutError(Exception):
    """The power was cut."""


@dataclass(slots=True)
class Power:
    """The `fault` of an engine: goes off at the ``cut_at``-th of all points it passes, counted from 1.

    0 is never. ``passed`` counts the points, and ``cut`` says where the power was cut, once it was.
    """

    cut_at: int = 0
    passed: int = 0
    writes: int = 0
    cut: str = ""

    def __call__(self, point: str) -> None:
        """Count a point that was passed, and fail there if it is the one."""
        self.passed += 1
        if point == "before-write":
            self.writes += 1
        if self.passed == self.cut_at:
            self.cut = _WORDS.get(point, point + " of write {}").format(self.writes)
            raise PowerCutError(point)
