"""Large values in an S3-compatible store."""

from __future__ import annotations

from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

from orchestrator.core.errors import NotFoundError, SettingsError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator
    from types import TracebackType

    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_s3.type_defs import ObjectIdentifierTypeDef

CONNECT_TIMEOUT_S: Final = 3
READ_TIMEOUT_S: Final = 30
# The engine waits and tries again itself, and says so.
ATTEMPTS: Final = 2

_MISSING: Final = {"NoSuchKey", "404"}


# For an object of which the store does not say when it came.
LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


class S3Store:
    """Keeps values in a bucket, which must be there."""

    def __init__(
        self,
        bucket: str,
        *,
        endpoint_url: str | None = None,
        region: str | None = None,
        access_key_id: str | None = None,
        secret_access_key: str | None = None,
    ) -> None:
        """Take the bucket's name and where it is; what is not given comes from where AWS's tools look for it.

        Raises:
            SettingsError: the library that speaks S3 is not installed.
        """
        try:
            import aioboto3
            from aiobotocore.config import AioConfig
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError as error:
            raise SettingsError(
                "values in S3 need the package aioboto3: install Orchestrator with its extra `s3`"
            ) from error
        self._bucket = bucket
        self._place = endpoint_url or "S3"
        self._session = aioboto3.Session(access_key_id, secret_access_key, region_name=region)
        self._endpoint_url = endpoint_url
        self._config = AioConfig(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"total_max_attempts": ATTEMPTS},
        )
        self._troubles = (BotoCoreError, OSError, TimeoutError)
        self._refusals = ClientError
        self._open = AsyncExitStack()
        self._client: S3Client | None = None

    async def __aenter__(self) -> Self:
        """Prepare to connect; the store itself may be away for now."""
        self._open = AsyncExitStack()
        with self._explained():
            self._client = await self._open.enter_async_context(
                self._session.client("s3", endpoint_url=self._endpoint_url, config=self._config)
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._client = None
        await self._open.aclose()

    async def put(self, key: str, data: bytes) -> None:
        """Upload it."""
        with self._explained():
            await self._connected().put_object(Bucket=self._bucket, Key=key, Body=data)

    async def get(self, key: str) -> bytes:
        """Download it."""
        with self._explained():
            answer = await self._connected().get_object(Bucket=self._bucket, Key=key)
            return await answer["Body"].read()

    async def remove(self, folder: str) -> None:
        """Delete all objects of the folder."""
        with self._explained():
            pages = self._connected().get_paginator("list_objects_v2")
            async for page in pages.paginate(Bucket=self._bucket, Prefix=f"{folder}/"):
                keys: list[ObjectIdentifierTypeDef] = [
                    {"Key": item.get("Key", "")} for item in page.get("Contents", [])
                ]
                if keys:
                    await self._connected().delete_objects(Bucket=self._bucket, Delete={"Objects": keys})

    async def folders(self, above: str) -> AsyncIterator[tuple[str, datetime]]:
        """List the bucket, which gives the objects in the order of their keys."""
        with self._explained():
            pages = self._connected().get_paginator("list_objects_v2")
            current, newest = "", None
            async for page in pages.paginate(Bucket=self._bucket, Prefix=f"{above}/"):
                for item in page.get("Contents", []):
                    folder = item.get("Key", "").rpartition("/")[0]
                    if folder != current and newest is not None:
                        yield current, newest
                        newest = None
                    current = folder
                    changed = item.get("LastModified", LONG_AGO)
                    newest = max(newest or changed, changed)
            if newest is not None:
                yield current, newest

    def _connected(self) -> S3Client:
        if self._client is None:
            raise UnavailableError("the store of large values is closed")
        return self._client

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except self._refusals as error:
            if error.response.get("Error", {}).get("Code") in _MISSING:
                raise NotFoundError(f"there is nothing under that key in the bucket {self._bucket}") from None
            raise self._trouble(error) from error
        except self._troubles as error:
            raise self._trouble(error) from error

    def _trouble(self, error: Exception) -> UnavailableError:
        return UnavailableError(f"the bucket {self._bucket} at {self._place} does not do: {error}")
