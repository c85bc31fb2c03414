"""Forks of runs on Temporal: other runs that begin with what the first ones recorded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from temporalio.service import RPCError

from orchestrator.core.ids import new_id
from orchestrator.durable.payloads import to_json
from orchestrator.durable.prefix import prefix_of_fork
from orchestrator.durable.runs import FORKED_FROM, NORMAL_PRIORITY, SAME_INPUT
from orchestrator.durable.temporal.beginnings import Beginning, CarriedPrefix
from orchestrator.durable.temporal.failures import explained
from orchestrator.durable.temporal.recorded import recorded_of
from orchestrator.durable.temporal.standing import OWNER, TAGS, describe, memo_of
from orchestrator.durable.temporal.starting import NewRun, begin
from orchestrator.durable.temporal.travelling import opened

if TYPE_CHECKING:
    from temporalio.client import Client

    from orchestrator.durable.registry import Registry


class Forks:
    """Starts forks, of the workflows that one engine was given."""

    def __init__(self, client: Client, task_queue: str, registry: Registry) -> None:
        self._client = client
        self._task_queue = task_queue
        self.registry = registry

    async def start(self, run_id: str, from_step: str | None, with_input: Any, fork_id: str | None) -> str:
        """Start a fork of a run, and give its id.

        Raises:
            InvalidInputError: there is no such step; or none is named, and nothing failed or was cancelled.
            ConflictError: another run has this id.
            NotRegisteredError: the engine was not given the workflow.
            PayloadError: ``with_input`` is not what the workflow takes.
        """
        try:
            fork = await self._fork(run_id, from_step, with_input, fork_id or new_id())
            await begin(self._client, self._task_queue, self.registry, fork)
        except RPCError as error:
            raise explained(error) from error
        return fork.id

    async def _fork(self, run_id: str, from_step: str | None, with_input: Any, fork_id: str) -> NewRun:
        raw = (await describe(self._client, run_id)).workflow_execution_info
        workflow = self.registry.workflow(raw.type.name)
        history = opened(self._client.get_workflow_handle(run_id), self._client.data_converter)
        seed, entries = await recorded_of(history)
        origin = to_json({"from": run_id, "from_step": from_step}, "the origin of a fork")
        prefix = prefix_of_fork(seed, entries, from_step, time.time(), origin)
        tags = await memo_of(self._client, raw, TAGS, {})
        return NewRun(
            fork_id,
            workflow,
            entries[0].data if with_input is SAME_INPUT else workflow.input_from(with_input),
            await memo_of(self._client, raw, OWNER, ""),
            {**tags, FORKED_FROM: run_id},
            raw.priority.priority_key or NORMAL_PRIORITY,
            Beginning(prefix=CarriedPrefix.of(prefix)),
            origin,
        )
