"""How runs are found on Temporal: one search attribute of our own, which holds owner and tags."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from orchestrator.core.errors import InvalidInputError, SettingsError
from orchestrator.core.patience import growing_pauses
from orchestrator.durable.temporal.failures import explained

if TYPE_CHECKING:
    from collections.abc import Mapping

    from temporalio.client import Client

NAME: Final = "OrchestratorTags"
KEY: Final = SearchAttributeKey.for_keyword_list(NAME)
# What a server takes as one search attribute (its limit.searchAttributesSizeOfValueLimit), as JSON.
MOST_BYTES: Final = 2_048
# Some databases behind a server index no longer keyword; what is longer is found by its digest.
LONGEST_KEYWORD_CHARS: Final = 200
READABLE_CHARS: Final = 120
# Quotes and backslashes break a server's queries on SQLite; these characters do not.
LEFT_AS_THEY_ARE: Final = " /:@,+"

_REFUSED: Final = {
    RPCStatusCode.PERMISSION_DENIED,
    RPCStatusCode.UNAUTHENTICATED,
    RPCStatusCode.UNIMPLEMENTED,
    RPCStatusCode.FAILED_PRECONDITION,
    RPCStatusCode.INVALID_ARGUMENT,
    RPCStatusCode.NOT_FOUND,
}


def attributes(owner: str, tags: Mapping[str, str]) -> TypedSearchAttributes:
    """The search attributes that a run is started with, children and forks included.

    Raises:
        InvalidInputError: owner and tags take more room than a server has.
    """
    keywords = [owner_keyword(owner), *(tag_keyword(key, value) for key, value in tags.items())]
    size = len(json.dumps(keywords, separators=(",", ":")))
    if size > MOST_BYTES:
        raise InvalidInputError(
            f"owner and tags take {size:,} bytes as keywords of the search attribute {NAME}; a Temporal "
            f"server takes {MOST_BYTES:,}. Give fewer tags, or shorter ones."
        )
    return TypedSearchAttributes([SearchAttributePair(KEY, keywords)])


def owner_keyword(owner: str) -> str:
    """What a run of that owner is found by: ``owner:ann``."""
    return _keyword(f"owner:{quote(owner, safe='')}")


def tag_keyword(key: str, value: str) -> str:
    """What a run with that tag is found by: ``topic=tea``."""
    return _keyword(f"{quote(key, safe='')}={quote(value, safe=LEFT_AS_THEY_ARE)}")


async def register(client: Client) -> None:
    """Make the namespace know our search attribute, and wait until it does.

    Raises:
        SettingsError: it does not, and may not be told from here; the message says what to do.
        UnavailableError: the server does not answer.
    """
    try:
        known = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
        if NAME not in known.custom_attributes:
            kind = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=client.namespace, search_attributes={NAME: kind})
            )
    except RPCError as error:
        if error.status in _REFUSED and not await _is_known(client):
            raise SettingsError(_how_to_add(client.namespace, error)) from error
        if error.status not in _REFUSED and error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise explained(error) from error
    for pause_s in growing_pauses():  # a server's parts learn of it one by one, within a minute
        if await _is_known(client):
            return
        await asyncio.sleep(pause_s)


async def _is_known(client: Client) -> bool:
    try:
        await client.count_workflows(f"{NAME} = 'known'")
    except RPCError as error:
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            return False
        raise explained(error) from error
    return True


def _how_to_add(namespace: str, error: RPCError) -> str:
    return (
        f"the Temporal namespace {namespace} has no search attribute {NAME}, by which runs are found, and "
        f"this connection may not add it ({error.message}). Add it once, as a KeywordList: "
        f"`temporal operator search-attribute create --namespace {namespace} --name {NAME} "
        f"--type KeywordList`; on Temporal Cloud `tcld namespace search-attributes add "
        f"--namespace {namespace} --search-attribute {NAME}=KeywordList`, or by its web console."
    )


def _keyword(text: str) -> str:
    if len(text) <= LONGEST_KEYWORD_CHARS:
        return text
    return f"{text[:READABLE_CHARS]}~{hashlib.sha256(text.encode()).hexdigest()}"
