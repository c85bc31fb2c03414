"""What a POST takes and answers under a key, in the words of OpenAPI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from orchestrator.web.idempotency.attempt import LONGEST_KEY_CHARS, NAMES
from orchestrator.web.problems import problems

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER: Final[dict[str, Any]] = {
    "name": NAMES[0],
    "in": "header",
    "required": False,
    "description": "A new one for each request, such as a UUID. What is sent again under it is done "
    "once, and answered the same.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY_CHARS, "pattern": "^[!-~]+$"},
}
# It is under way; or the key was used for something else.
ANSWERS: Final[Mapping[int | str, dict[str, Any]]] = problems(409, 422)
