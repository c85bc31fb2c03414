"""What the steps of a delivery hand on to each other: ids alone, since runs outlive what they are about."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Delivery(BaseModel):
    """Which delivery: whose, and its row's id."""

    model_config = ConfigDict(frozen=True)

    owner: str
    id: str


class Outcome(BaseModel):
    """What came of an attempt: whether it was the last, or after how many seconds at least to try again."""

    model_config = ConfigDict(frozen=True)

    is_over: bool
    retry_after_s: float = 0.0
