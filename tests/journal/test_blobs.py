"""Blobs: whole or not there, and only under safe names."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from moto.server import ThreadedMotoServer

from orchestrator.core.errors import InvalidInputError, NotFoundError
from orchestrator.durable.temporal.s3_store import S3Store
from orchestrator.journal.blobs import BlobStore, BucketBlobs
from support.services import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from orchestrator.journal.blobs import Blobs

REGION = "us-east-1"
LIMIT_S = 10.0
KEY = "test-key"


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    """An S3-compatible store in this process, over HTTP."""
    server = ThreadedMotoServer(ip_address=LOOPBACK, port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    yield f"http://{LOOPBACK}:{port}"
    server.stop()


@pytest.fixture(params=["directory", "bucket"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Blobs]:
    """An empty store of each kind."""
    if request.param == "directory":
        yield BlobStore(tmp_path / "blobs")
        return
    url, bucket = request.getfixturevalue("s3_url"), f"blobs-{uuid.uuid4()}"
    requests.put(f"{url}/{bucket}", timeout=LIMIT_S).raise_for_status()  # noqa: ASYNC210  # once, before all
    opened = S3Store(bucket, endpoint_url=url, region=REGION, access_key_id=KEY, secret_access_key=KEY)
    async with opened:
        yield BucketBlobs(opened, "pictures")


@pytest.fixture
def directory(tmp_path: Path) -> BlobStore:
    """An empty store of files."""
    return BlobStore(tmp_path / "blobs")


async def test_what_is_put_is_got_with_its_content_type(store: Blobs) -> None:
    """Bytes come back as they were; the name's ending tells the type, the content the tag."""
    await store.put("s1/image1.jpg", b"first")
    first = await store.get("s1/image1.jpg")
    await store.put("s1/image1.jpg", b"second")
    second = await store.get("s1/image1.jpg")
    assert (first.data, first.content_type) == (b"first", "image/jpeg")
    assert second.data == b"second"
    assert first.etag != second.etag


async def test_what_is_deleted_is_gone(store: Blobs) -> None:
    """A whole folder and no other; deleting twice does no harm."""
    for name in ("s1/a.jpg", "s1/b.jpg", "s10/a.jpg"):
        await store.put(name, b"x")
    for _ in range(2):
        await store.delete_folder("s1")
    for name in ("s1/a.jpg", "s1/b.jpg"):
        with pytest.raises(NotFoundError):
            await store.get(name)
    assert (await store.get("s10/a.jpg")).data == b"x"


UNSAFE = (
    *("", ".", "..", "../x", "/etc/passwd", "a/../b", "a/b/c", "a//b", ".hidden", "a/.b"),
    *("a b", "a\x00", "x" * 101, "ä", "a\n"),
)


async def test_unsafe_names_are_refused(store: Blobs) -> None:
    """No name leads out of the directory, to hidden files or to what a file system may not take."""
    for name in UNSAFE:
        for use in (store.get(name), store.put(name, b""), store.delete_folder(name)):
            with pytest.raises(InvalidInputError):
                await use


async def test_a_failed_write_leaves_the_old_blob_and_no_debris(
    directory: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails before its rename changes nothing."""
    await directory.put("s1/a.jpg", b"old")

    def refuse(_self: Path, _target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        await directory.put("s1/a.jpg", b"new")
    monkeypatch.undo()
    assert (await directory.get("s1/a.jpg")).data == b"old"
    assert [path.name for path in (tmp_path / "blobs" / "s1").iterdir()] == ["a.jpg"]
