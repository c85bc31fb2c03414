"""The audit trail, for admins to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query

from orchestrator.web.audit.schemas import AuditFilter, AuditPage
from orchestrator.web.auth.access import Admin
from orchestrator.web.feature import Feature
from orchestrator.web.problems import problems

if TYPE_CHECKING:
    from orchestrator.web.audit.audit import Audit
    from orchestrator.web.audit.refusals import Refusals

AUDIT = "/api/v1/audit"


def build(audit: Audit, refusals: Refusals) -> Feature:
    """The route over ``audit``, and what is done beside requests."""
    router = APIRouter(tags=["audit"])

    @router.get(AUDIT, summary="Read the audit trail", responses=problems(400, 401, 403))
    async def page(_: Admin, wanted: Annotated[AuditFilter, Query()]) -> AuditPage:
        """Who did what, when and from where; newest first."""
        return await audit.page(wanted)

    return Feature("audit", router, background=(audit.sweep_always, refusals.flush_always))
