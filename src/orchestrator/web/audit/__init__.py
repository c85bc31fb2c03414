"""The audit trail: who did what, when and from where. It is added to, and never changed."""

from orchestrator.web.audit.audit import Audit
from orchestrator.web.audit.trail import Trail

__all__ = ["Audit", "Trail"]
