"""How long to wait before the next try at something that is not there yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 5.0


def growing_pauses() -> Iterator[float]:
    """Seconds to wait, time after time, each twice as long as the one before up to a limit; without end."""
    pause_s = FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
