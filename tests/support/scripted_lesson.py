"""A model that writes a small lesson, whatever it is asked, through the provider of the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support import model_server

if TYPE_CHECKING:
    from support.model_server import Asked, Reply

ANALYSIS: dict[str, Any] = {
    "focus": "Why the sea rises twice a day.",
    "level": "beginner",
    "concepts": [
        {"term": "Tide", "meaning": "The rise and fall of the sea."},
        {"term": "Moon", "meaning": "The body whose pull moves the sea."},
    ],
    "links": [{"source": "Moon", "target": "Tide", "phrase": "causes"}],
}
OUTLINE: dict[str, Any] = {
    "title": "The tides",
    "objectives": ["Explain why there are two tides a day"],
    "sections": [
        {"title": "Pull", "aim": "Gravity", "points": ["moon", "sun"], "words": 100, "picture": "the moon"},
        {"title": "Ebb", "aim": "Timing", "points": ["spring", "neap"], "words": 100, "picture": "a beach"},
    ],
}
SECTION = "The moon pulls. ### Check yourself"
SUMMARY = "The sea follows the moon."
TOKENS_PER_CALL = 46  # what the provider of the tests says of each answer
CALLS = 5  # analysis, outline, two sections, summary


def scripted(asked: Asked) -> Reply:
    """The answer to whatever step asks."""
    if asked.shape == "AnalysisAnswer":
        return model_server.data(ANALYSIS)(asked)
    if asked.shape == "OutlineAnswer":
        return model_server.data(OUTLINE)(asked)
    is_summary = "You sum up lessons" in str(asked.body["messages"])
    return model_server.text(SUMMARY if is_summary else SECTION)(asked)
