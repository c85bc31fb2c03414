"""The search attribute by which runs are found on Temporal."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from orchestrator.core.errors import InvalidInputError, SettingsError
from orchestrator.durable.temporal import search

if TYPE_CHECKING:
    from support.services import TemporalServer


def test_keywords_are_readable_and_break_no_query() -> None:
    """An operator can look for them by hand; quotes, backslashes and separators are escaped."""
    assert search.tag_keyword("topic", "green tea") == "topic=green tea"
    assert search.owner_keyword("ann") == "owner:ann"
    odd = search.tag_keyword("a=b", 'it\'s \\ "x"')
    assert odd == "a%3Db=it%27s %5C %22x%22"
    assert search.tag_keyword("owner:ann", "") != search.owner_keyword("ann=")


def test_a_long_keyword_keeps_its_beginning_and_is_told_from_others() -> None:
    """Databases index only so many characters of a keyword."""
    one, other = (search.tag_keyword("topic", "x" * 500 + end) for end in "ab")
    assert one != other
    assert one.startswith("topic=xxx")
    assert len(one) <= search.LONGEST_KEYWORD_CHARS


def test_more_than_a_server_takes_is_refused_before_the_start() -> None:
    """The sentence says how much there is and how much goes."""
    with pytest.raises(InvalidInputError, match=r"owner and tags take [\d,]+ bytes .* takes 2,048"):
        search.attributes("ann", {f"tag-{number}": "x" * 150 for number in range(20)})


async def own_namespace(server: TemporalServer) -> Client:
    """A client of a new namespace."""
    name = f"own-{uuid.uuid4()}"
    client = await Client.connect(server.address, namespace=name)
    retention = Duration(seconds=86_400)
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(namespace=name, workflow_execution_retention_period=retention)
    )
    return client


async def add(client: Client, *names: str) -> None:
    """Add search attributes, as soon as the server knows the new namespace."""
    kinds = dict.fromkeys(names, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST)
    request = AddSearchAttributesRequest(namespace=client.namespace, search_attributes=kinds)
    await client.operator_service.add_search_attributes(request, retry=True)


@pytest.mark.temporal
async def test_the_attribute_is_added_once(temporal_server: TemporalServer) -> None:
    """By whoever opens an engine first; all others find it."""
    client = await own_namespace(temporal_server)
    for _ in range(2):
        await search.register(client)
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    assert known.custom_attributes[search.NAME] == IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST


@pytest.mark.temporal
async def test_where_it_cannot_be_added_a_sentence_says_how(temporal_server: TemporalServer) -> None:
    """Here the namespace has no room for one more; on Temporal Cloud a client may not add any."""
    client = await own_namespace(temporal_server)
    with pytest.raises(RPCError, match="cannot have more than"):
        await add(client, *(f"Other{number}" for number in range(50)))
    taken = 0
    while True:
        try:
            await add(client, f"Other{taken}")
        except RPCError:
            break
        taken += 1
    with pytest.raises(SettingsError, match=r"OrchestratorTags.*search-attribute create.*tcld namespace"):
        await search.register(client)
