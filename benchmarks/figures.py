"""Many measured values in a few figures."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Sequence


def percentile(values: Sequence[float], percent: int) -> float:
    """The value below which `percent` per cent of `values` (at least two) lie."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


class Spread(BaseModel):
    """How values are spread, in their own unit."""

    count: int
    p50: float
    p99: float
    highest: float


def spread(values: Sequence[float]) -> Spread | None:
    """The spread of `values`, or None where fewer than two leave nothing to say."""
    if len(values) < 2:
        return None
    return Spread(
        count=len(values), p50=percentile(values, 50), p99=percentile(values, 99), highest=max(values)
    )
