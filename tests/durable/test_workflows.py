"""What can be a workflow."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator import workflow


async def without_context() -> None:
    """Take nothing."""


async def with_two_inputs(ctx: object, first: int, second: int) -> None:
    """Take too much."""


def not_async(ctx: object) -> None:
    """Be a plain function."""


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (without_context, r"takes no context; write `async def without_context\(ctx: Context\)`"),
        (with_two_inputs, "takes first, second: take one input, a model of all it needs"),
        (not_async, "is not an async function; write `async def`"),
    ],
)
def test_a_function_that_cannot_be_a_workflow_is_told_what_it_should_take(
    function: Any,  # noqa: ANN401  # wrong on purpose
    told: str,
) -> None:
    """The decorator refuses it where it is written, not when a run begins."""
    with pytest.raises(TypeError, match=told):
        workflow(function)
