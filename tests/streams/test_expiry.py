"""Streams of the journal that expire: what is remembered of when to look for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.stream_lab import embedded

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_stream_whose_time_is_set_again_and_again_is_looked_for_once(tmp_path: Path) -> None:
    """Memory does not grow with the calls, and the last one holds."""
    async with embedded(tmp_path) as lab:
        await lab.streams.append("work", "job", b"")
        for _ in range(100):
            await lab.streams.expire("work", 3_600)
            await lab.pass_time(1)
        assert len(lab.streams._log.expiries._heap) == 1
        await lab.pass_time(3_598)
        assert len(await lab.streams.read("work")) == 1
        await lab.pass_time(1)
        assert await lab.streams.read("work") == []
