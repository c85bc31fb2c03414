"""On what terms an engine records values on Temporal."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

from orchestrator.durable.payloads import PayloadRules
from orchestrator.durable.temporal.payloads import MAX_CARRIED_BYTES

if TYPE_CHECKING:
    from orchestrator.durable.temporal.value_store import ValueStore


@dataclass(frozen=True, slots=True)
class Terms:
    """How large a value may be, what hides secrets, and whether there is a store for large values."""

    rules: PayloadRules
    has_store: bool

    @classmethod
    def of(cls, rules: PayloadRules, store: ValueStore | None) -> Self:
        """Without a store no value may take more than Temporal carries."""
        if store is None:
            rules = replace(rules, most_bytes=min(rules.most_bytes, MAX_CARRIED_BYTES))
        return cls(rules, has_store=store is not None)


USUAL_TERMS: Final = Terms.of(PayloadRules(), None)
