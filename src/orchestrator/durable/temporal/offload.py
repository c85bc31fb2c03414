"""Large values on their way to Temporal: kept in a `ValueStore`, with a reference in the history."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from typing import TYPE_CHECKING, Final, Self, TypeVar, cast

from temporalio.api.common.v1 import Payload
from temporalio.api.sdk.v1.external_storage_pb2 import ExternalStorageReference
from temporalio.converter import (
    ActivitySerializationContext,
    ExternalStorage,
    JSONProtoPayloadConverter,
    SerializationContext,
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverSelectContext,
    StorageDriverStoreContext,
    WithSerializationContext,
    WorkflowSerializationContext,
)

from orchestrator.core.errors import NotFoundError, OrchestratorError, UnavailableError
from orchestrator.durable.temporal.payloads import LARGE, MOST_IN_HISTORY_BYTES
from orchestrator.durable.temporal.unreadable import unreadable
from orchestrator.durable.temporal.value_store import folder_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from orchestrator.durable.temporal.value_store import ValueStore

R = TypeVar("R")

NAME: Final = "orchestrator.values"
KEY: Final = "key"
# A store that does not answer is tried again after so long, within the 10 s that a workflow task has.
PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0)

_NO_STORE: Final = "it is in a store of large values, and none is given to this engine (value_store=…)"

log = logging.getLogger(__name__)


class ValueDriver(StorageDriver):
    """Keeps the large values of one run, and brings back those of any."""

    def __init__(self, store: ValueStore | None, folder: str = "") -> None:
        self.store_of_values = store
        self._folder = folder

    def of(self, namespace: str, run_id: str) -> ValueDriver:
        """The same for another run."""
        return ValueDriver(self.store_of_values, folder_of(namespace, run_id))

    def name(self) -> str:
        """By which a reference names it, wherever the values are."""
        return NAME

    async def store(
        self,
        context: StorageDriverStoreContext,  # noqa: ARG002  # the SDK's signature
        payloads: Sequence[Payload],
    ) -> list[StorageDriverClaim]:
        """Keep each.

        Raises:
            UnavailableError: the store does not answer.
        """
        return list(await asyncio.gather(*map(self._keep, payloads)))

    async def retrieve(
        self,
        context: StorageDriverRetrieveContext,  # noqa: ARG002  # the SDK's signature
        claims: Sequence[StorageDriverClaim],
    ) -> list[Payload]:
        """Bring each back; one that cannot be had now says why."""
        return list(await asyncio.gather(*map(self._fetch, claims)))

    async def _keep(self, payload: Payload) -> StorageDriverClaim:
        store = self.store_of_values
        if store is None:
            raise UnavailableError(_NO_STORE)
        data = payload.SerializeToString()
        key = f"{self._folder}/{hashlib.sha256(data).hexdigest()}"
        await _patiently(lambda: store.put(key, data))
        return StorageDriverClaim({KEY: key})

    async def _fetch(self, claim: StorageDriverClaim) -> Payload:
        key = claim.claim_data[KEY]
        store = self.store_of_values
        if store is None:
            return _missing(claim, _NO_STORE)
        try:
            data = await _patiently(lambda: store.get(key))
        except NotFoundError as error:
            return _missing(claim, f"a large value is gone: {error}")
        except OrchestratorError as error:
            return _missing(claim, str(error))
        if hashlib.sha256(data).hexdigest() != key.rpartition("/")[2]:
            return _missing(claim, f"the large value {key} is not as it was written")
        payload = Payload()
        payload.ParseFromString(data)
        return payload


class Offload(ExternalStorage, WithSerializationContext):
    """Temporal's own means to keep large payloads elsewhere, with a driver for each run."""

    @classmethod
    def to(cls, driver: ValueDriver) -> Self:
        """Keep large values there; without a store none, but say what is missing of those that were kept."""

        def select(_: StorageDriverSelectContext, payload: Payload) -> ValueDriver | None:
            is_large = payload.ByteSize() > MOST_IN_HISTORY_BYTES or LARGE in payload.metadata
            return driver if is_large and driver.store_of_values is not None else None

        return cls(drivers=[driver], driver_selector=select, payload_size_threshold=0)

    def with_context(self, context: SerializationContext) -> Self:
        """The same for the run that the context names."""
        driver = self.drivers[0]
        if not isinstance(context, WorkflowSerializationContext | ActivitySerializationContext):
            return self
        if isinstance(driver, ValueDriver):
            return self.to(driver.of(context.namespace, context.workflow_id or ""))
        return self


async def _patiently(work: Callable[[], Awaitable[R]]) -> R:
    for pause_s in PAUSES_S:
        try:
            return await work()
        except UnavailableError as error:
            log.warning("%s; trying again in %g s", error, pause_s)
        await asyncio.sleep(pause_s)
    return await work()


def _missing(claim: StorageDriverClaim, reason: str) -> Payload:
    reference = ExternalStorageReference(driver_name=NAME, claim_data=dict(claim.claim_data))
    recorded = cast("Payload", JSONProtoPayloadConverter().to_payload(reference))
    return unreadable(recorded, reason)
