"""The values that models hand back."""

from __future__ import annotations

from decimal import Decimal

from pydantic import TypeAdapter

from orchestrator.agents.model import Answer, Usage, estimated_tokens


def test_answers_pass_through_json_unchanged() -> None:
    """A durable step journals them, exact cost included."""
    answer = Answer("text", Usage(10, 5, Decimal("0.00045")), "gpt-5-mini-2025", "gpt-5-mini")
    adapter = TypeAdapter(Answer[str])
    assert adapter.validate_json(adapter.dump_json(answer)) == answer
    assert answer.usage.tokens == 15


def test_tokens_are_reckoned_in_bytes() -> None:
    """Four bytes count as one token, and any text as at least one."""
    assert [estimated_tokens(text) for text in ("", "a", "abcd", "abcde", "光合")] == [0, 1, 1, 2, 2]
