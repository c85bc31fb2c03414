"""How long parts wait between tries."""

from __future__ import annotations

from itertools import islice

from orchestrator.core.patience import growing_pauses


def test_tries_come_ever_more_slowly_up_to_a_limit() -> None:
    """From a fifth of a second to five."""
    assert list(islice(growing_pauses(), 7)) == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
