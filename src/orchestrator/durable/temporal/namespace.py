"""What a cluster tells of the namespace that an engine is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.service import RPCError

from orchestrator.durable.temporal.failures import explained

if TYPE_CHECKING:
    from temporalio.api.workflowservice.v1 import DescribeNamespaceResponse
    from temporalio.client import Client


async def namespace_id(client: Client) -> str:
    """What tells it from one of the same name on another cluster.

    Raises:
        UnavailableError: the server does not answer.
    """
    return (await _described(client)).namespace_info.id


async def retention_s(client: Client) -> float:
    """For how many seconds it keeps runs that have ended.

    Raises:
        UnavailableError: the server does not answer.
    """
    kept = (await _described(client)).config.workflow_execution_retention_ttl
    return float(kept.ToTimedelta().total_seconds())


async def _described(client: Client) -> DescribeNamespaceResponse:
    request = DescribeNamespaceRequest(namespace=client.namespace)
    try:
        return await client.workflow_service.describe_namespace(request, retry=True)
    except RPCError as error:
        raise explained(error) from error
