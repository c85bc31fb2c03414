"""What a request may hold, and what is said when it does not."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from orchestrator.features.lessons.schemas import LONGEST_MATERIAL_CHARS, MOST_MATERIALS, NewSession


def test_a_topic_is_stripped() -> None:
    """White space around it means nothing."""
    assert NewSession.model_validate({"topic": "  machine learning "}).topic == "machine learning"


@pytest.mark.parametrize(
    "topic",
    [
        "x",
        "x" * 500,
        "量子力学",
        "café 👩‍🔬",
        "می‌خواهم",
        "<script>alert(1)</script>",
        "C",
        "∫",
        "🌊",
        "?",
        "ㅎ",
    ],
)
def test_any_line_of_text_is_a_topic(topic: str) -> None:
    """Of one to 500 characters, in any script; what looks like markup is text too."""
    assert NewSession.model_validate({"topic": topic}).topic == topic


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "Field required"),
        ({"topic": ""}, "blank"),
        ({"topic": " \u3000 "}, "blank"),
        ({"topic": "x" * 501}, "it has 501 characters; at most 500 are taken"),
        ({"topic": "\u200b"}, "blank"),
        ({"topic": "\u3164\uffa0 \u115f\u1160"}, "blank"),
        ({"topic": "\u2800"}, "blank"),
        ({"topic": "\u0301\u20dd\ufe0f"}, "blank"),
        ({"topic": "two\nlines"}, "control characters"),
        ({"topic": "null\x00"}, "control characters"),
        ({"topic": "\x9b"}, "control characters"),
        ({"topic": "\u202egnitrats"}, "control characters"),
        ({"topic": "\ud800"}, "control characters"),
        ({"topic": 5}, "valid string"),
        ({"topic": None}, "valid string"),
        ({"topic": ["a"]}, "valid string"),
        ({"topic": "a", "extra": 1}, "Extra inputs"),
        ({"topic": "a", "metadata": []}, "valid dictionary"),
        ({"topic": "a", "metadata": {"tags": []}}, "Extra inputs"),
        ({"topic": "a", "metadata": {"materials": "text"}}, "valid list"),
        ({"topic": "a", "metadata": {"materials": [5]}}, "valid dictionary"),
        ({"topic": "a", "metadata": {"materials": [{}]}}, "Field required"),
        ({"topic": "a", "metadata": {"materials": [" "]}}, "blank"),
        ({"topic": "a", "metadata": {"materials": ["\x00PNG"]}}, "binary"),
        ({"topic": "a", "metadata": {"materials": [{"text": "x", "title": "a\nb"}]}}, "line breaks"),
        ({"topic": "a", "metadata": {"materials": [{"text": "x", "path": "/etc"}]}}, "Extra inputs"),
        (
            {"topic": "a", "metadata": {"materials": ["x"] * (MOST_MATERIALS + 1)}},
            f"at most {MOST_MATERIALS}",
        ),
        ({"topic": "a", "metadata": {"materials": ["x" * (LONGEST_MATERIAL_CHARS + 1)]}}, "at most 500,000"),
        (
            {"topic": "a", "metadata": {"materials": ["x" * LONGEST_MATERIAL_CHARS] * 3}},
            "1,500,000 characters",
        ),
    ],
)
def test_bad_input_is_refused_with_what_is_wrong(body: object, said: str) -> None:
    """Empty, blank, too long, control characters, wrong types, unknown fields: each has its sentence."""
    with pytest.raises(ValidationError, match=said):
        NewSession.model_validate(body)


def test_materials_are_texts_with_or_without_a_title() -> None:
    """A bare string is a text; tabs and line breaks belong to texts."""
    body = {"topic": "a", "metadata": {"materials": ["one\n\ttwo", {"text": "# three", "title": " T "}]}}
    metadata = NewSession.model_validate(body).metadata
    assert metadata is not None
    assert [(each.title, each.text) for each in metadata.materials] == [
        (None, "one\n\ttwo"),
        ("T", "# three"),
    ]
