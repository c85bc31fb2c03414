"""Routes for API keys, for admins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Path, Request

from orchestrator.web.audit.trail import source_of
from orchestrator.web.auth.access import Admin
from orchestrator.web.auth.keys.schemas import ApiKey, ApiKeys, MadeApiKey, NewApiKey
from orchestrator.web.auth.keys.secret import ID_CHARS
from orchestrator.web.feature import Feature
from orchestrator.web.idempotency.once import MadeId, secret_answer
from orchestrator.web.problems import problems

if TYPE_CHECKING:
    from orchestrator.web.auth.keys.service import KeyStore

KEYS = "/api/v1/keys"

KeyId = Annotated[str, Path(description="The key's id.", pattern="^[0-9a-f]{12}$")]


def build(keys: KeyStore) -> Feature:
    """The routes over ``keys``."""
    router = APIRouter(prefix=KEYS, tags=["keys"])

    @router.post(
        "",
        status_code=201,
        summary="Make an API key",
        responses=problems(400, 401, 403),
        dependencies=[Depends(secret_answer)],
    )
    async def create(wanted: NewApiKey, caller: Admin, request: Request, made_id: MadeId) -> MadeApiKey:
        """The answer has the key itself, this once."""
        return await keys.create(wanted, caller, source_of(request.scope), made_id[-ID_CHARS:])

    @router.get("", summary="List all API keys", responses=problems(401, 403))
    async def listed(_: Admin) -> ApiKeys:
        """Newest first, revoked ones included; what opens the service is not kept."""
        return ApiKeys(items=await keys.all())

    @router.delete("/{key_id}", summary="Revoke an API key", responses=problems(400, 401, 403, 404))
    async def revoke(key_id: KeyId, caller: Admin, request: Request) -> ApiKey:
        """From the next request on it opens nothing, in any process. It stays in the list."""
        return await keys.revoke(key_id, caller, source_of(request.scope))

    return Feature(name="keys", router=router)
