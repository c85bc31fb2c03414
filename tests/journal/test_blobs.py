"""Blobs: whole or not there, and only under safe names."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.core.errors import InvalidInputError, NotFoundError
from orchestrator.journal.blobs import BlobStore


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    """An empty store."""
    return BlobStore(tmp_path / "blobs")


async def test_what_is_put_is_got_with_its_content_type(store: BlobStore) -> None:
    """Bytes come back as they were; the name's ending tells the type, the content the tag."""
    await store.put("s1/image1.jpg", b"first")
    first = await store.get("s1/image1.jpg")
    await store.put("s1/image1.jpg", b"second")
    second = await store.get("s1/image1.jpg")
    assert (first.data, first.content_type) == (b"first", "image/jpeg")
    assert second.data == b"second"
    assert first.etag != second.etag


async def test_what_is_deleted_is_gone(store: BlobStore) -> None:
    """One blob, or a whole folder; deleting twice does no harm."""
    for name in ("s1/a.jpg", "s1/b.jpg", "s2/a.jpg"):
        await store.put(name, b"x")
    for _ in range(2):
        await store.delete("s2/a.jpg")
        await store.delete_folder("s1")
    for name in ("s1/a.jpg", "s1/b.jpg", "s2/a.jpg"):
        with pytest.raises(NotFoundError):
            await store.get(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "/etc/passwd",
        "a/../b",
        "a/b/c",
        "a//b",
        ".hidden",
        "a/.b",
        "a b",
        "a\x00",
        "x" * 101,
        "ä",
        "a\n",
    ],
)
async def test_unsafe_names_are_refused(store: BlobStore, name: str) -> None:
    """No name leads out of the directory, to hidden files or to what a file system may not take."""
    for use in (store.get(name), store.put(name, b""), store.delete(name)):
        with pytest.raises(InvalidInputError):
            await use
    with pytest.raises(InvalidInputError):
        await store.delete_folder(name)


async def test_a_failed_write_leaves_the_old_blob_and_no_debris(
    store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails before its rename changes nothing."""
    await store.put("s1/a.jpg", b"old")

    def refuse(_self: Path, _target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        await store.put("s1/a.jpg", b"new")
    monkeypatch.undo()
    assert (await store.get("s1/a.jpg")).data == b"old"
    assert [path.name for path in (tmp_path / "blobs" / "s1").iterdir()] == ["a.jpg"]
