"""How streams lie in Redis: keys that expire together, on one node, apart from those of others."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot

from orchestrator.core.errors import InternalError, SettingsError
from orchestrator.streams import NewEntry, RedisStreams, dead_letters
from orchestrator.streams.redis.names import stem_of
from orchestrator.streams.redis.scripts import SWEEP_MS
from support.redis_server import own_redis_server
from support.stream_lab import on_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.redis_server import RedisServer
    from support.stream_lab import RedisLab

WITHOUT_REDIS = """
import sys
sys.modules["redis"] = None
from orchestrator.streams import EmbeddedStreams
print(EmbeddedStreams.__name__)
from orchestrator.streams import RedisStreams
"""


@pytest.fixture
async def operator(redis_url: str) -> AsyncIterator[Redis]:
    """Redis as its operator sees it."""
    async with Redis.from_url(redis_url) as client:
        yield client


async def keys_of(operator: Redis, lab: RedisLab) -> list[bytes]:
    """All keys of the lab."""
    return [key async for key in operator.scan_iter(f"*{lab.prefix}*", count=1_000)]


async def use(lab: RedisLab) -> None:
    """Write everything that a stream can have."""
    await lab.streams.append_all("work", [NewEntry("job", b"", "k")] * 5)
    group = await lab.streams.group("work", "g")
    await group.read("ada", 3)
    await group.claim("bob", 0, 1)


async def test_all_keys_of_an_expiring_stream_go_together(lab: RedisLab, operator: Redis) -> None:
    """Redis frees them by itself a minute after the stream's time, also those that are written between."""
    await lab.streams.expire("work", 100)
    await use(lab)
    left = [await operator.pttl(key) for key in await keys_of(operator, lab)]
    assert len(left) == 7
    assert max(left) - min(left) < 1_000
    assert 100_000 < min(left) <= 100_000 + SWEEP_MS
    await lab.streams.expire("work", None)
    assert {await operator.pttl(key) for key in await keys_of(operator, lab)} == {-1}
    await lab.streams.expire("work", 100)
    assert min([await operator.pttl(key) for key in await keys_of(operator, lab)]) > 0


async def test_what_redis_freed_is_as_if_it_never_was(lab: RedisLab, operator: Redis) -> None:
    """Where nobody had asked for the stream since its time was over."""
    await use(lab)
    await operator.delete(*await keys_of(operator, lab))
    assert await lab.streams.read("work") == []
    assert await lab.streams.groups("work") == []
    assert await lab.streams.append("work", "job", b"", key="k", once=True) == 1


async def test_a_deleted_or_expired_stream_leaves_no_key(lab: RedisLab, operator: Redis) -> None:
    """Whoever comes first after its time takes it away."""
    await use(lab)
    await lab.streams.delete("work")
    assert await keys_of(operator, lab) == []
    await use(lab)
    await lab.streams.expire("work", 60)
    await lab.pass_time(60)
    assert await lab.streams.read("work") == []
    assert await keys_of(operator, lab) == []


async def test_a_settled_group_holds_nothing(lab: RedisLab, operator: Redis) -> None:
    """What is acknowledged takes no room."""
    await use(lab)
    group = await lab.streams.group("work", "g")
    await group.ack(1, 2, 3)
    assert not [key for key in await keys_of(operator, lab) if b":held:" in key or b":times:" in key]


@pytest.mark.parametrize("stream", ["", "work", "a}b", "{}", "ä.dead.deadly"])
def test_a_stream_and_its_dead_letters_are_on_one_node(stream: str) -> None:
    """Also the dead letters of dead letters; other streams go elsewhere."""
    stems = [stem_of("p", stream)]
    for _ in range(3):
        stream = dead_letters(stream)
        stems.append(stem_of("p", stream))
    assert len({key_slot(f"{stem}:entries".encode()) for stem in stems}) == 1
    assert len(set(stems)) == 4
    assert key_slot(stem_of("p", "other").encode()) != key_slot(stems[0].encode())


async def test_prefixes_keep_streams_apart(redis_url: str, lab: RedisLab) -> None:
    """Two houses may share one Redis."""
    await lab.streams.append("work", "job", b"")
    async with on_redis(redis_url) as stranger:
        assert await stranger.streams.read("work") == []
        await stranger.streams.delete("work")
    assert len(await lab.streams.read("work")) == 1


async def test_keys_of_another_program_are_not_touched(lab: RedisLab, operator: Redis) -> None:
    """What lies where a stream should be is an error, and stays."""
    key = stem_of(lab.prefix, "work")
    await operator.set(key, "theirs")
    with pytest.raises(InternalError, match="refused a command"):
        await lab.streams.append("work", "job", b"")
    assert await operator.get(key) == b"theirs"


async def test_a_check_tells_version_and_durability(lab: RedisLab, server: RedisServer) -> None:
    """In memory alone is worth a warning, an append-only file is not."""
    facts = await lab.streams.check()
    assert int(facts.version.partition(".")[0]) >= 7
    assert "Set `appendonly yes`" in facts.warning
    async with RedisStreams(server.url) as streams:
        assert (await streams.check()).warning == ""


async def test_an_old_redis_is_refused(monkeypatch: pytest.MonkeyPatch, lab: RedisLab) -> None:
    """Here every version is."""
    monkeypatch.setattr("orchestrator.streams.redis.streams.OLDEST_VERSION", (1_000, 0))
    with pytest.raises(SettingsError, match=r"has version \d.*, and streams need 1000.0 or later"):
        await lab.streams.check()


async def test_a_password_that_is_missing_or_wrong_is_said_to_be(tmp_path: Path) -> None:
    """By every call, without showing it."""
    with own_redis_server(tmp_path, ("--requirepass", "open sesame")) as server:
        place = f"127.0.0.1:{server.port}"
        for url in (f"redis://{place}", f"redis://:wrong-one@{place}"):
            async with RedisStreams(url) as streams:
                calls = streams.append("work", "job", b""), streams.read("work"), streams.check()
                for error in await asyncio.gather(*calls, return_exceptions=True):
                    assert isinstance(error, SettingsError)
                    assert f"{place} refuses the user or password" in error.message
                    assert ".." not in error.message
                    assert "wrong-one" not in error.message
        async with RedisStreams(f"redis://:open%20sesame@{place}/3") as streams:
            assert await streams.append("work", "job", b"") == 1


async def test_a_database_that_is_not_there_is_said_so(redis_url: str) -> None:
    """It has sixteen by default."""
    async with RedisStreams(f"{redis_url.removesuffix('/0')}/99") as streams:
        for call in (streams.append("work", "job", b""), streams.check()):
            with pytest.raises(SettingsError, match=r"has no database of the number in redis\.url"):
                await call


async def test_a_user_who_may_not_load_scripts_is_said_to_be(server: RedisServer) -> None:
    """The right is named; nothing speaks of scripts that are not there."""
    async with Redis.from_url(server.url) as operator:
        await operator.acl_setuser(
            "clerk", enabled=True, nopass=True, keys=["*"], channels=["*"], commands=["+@all", "-script"]
        )
    async with RedisStreams(f"redis://clerk:any@127.0.0.1:{server.port}") as streams:
        with pytest.raises(SettingsError, match=r"no permissions to run the 'script"):
            await streams.append("work", "job", b"")


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "", "redis://u:hunter2/x@localhost"])
def test_what_is_no_address_is_refused(url: str) -> None:
    """With one that is, and without a word of the password."""
    with pytest.raises(SettingsError, match="Give one such as redis://localhost:6379/0") as refused:
        RedisStreams(url)
    assert "hunter" not in "".join(traceback.format_exception(refused.value))


def test_a_certificate_that_is_not_there_is_named() -> None:
    """Before anything is sent."""
    with pytest.raises(SettingsError, match=r"no file /gone\.pem, which ssl_ca_certs names"):
        RedisStreams("rediss://localhost?ssl_ca_certs=/gone.pem")


def test_without_its_library_the_extra_is_named() -> None:
    """The embedded streams are there all the same."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_REDIS], capture_output=True, text=True, check=False)
    assert done.stdout == "EmbeddedStreams\n"
    assert "install Orchestrator with its extra `redis`" in done.stderr
