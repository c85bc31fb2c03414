"""The lesson as Markdown, safe to show whoever wrote its parts."""

from __future__ import annotations

import pytest
from markdown_it import MarkdownIt

from orchestrator.agents.offline import ConceptMap
from orchestrator.features.lessons.document import lesson_markdown, safe_markdown
from orchestrator.features.lessons.lesson import (
    Concept,
    Draft,
    LessonRequest,
    Material,
    Outline,
    PictureFile,
    PicturePlan,
    Section,
    SectionPlan,
    TopicAnalysis,
)

NO_MAP = ConceptMap("", (), ())


def draft(title: str = "Tides", *, generator: str = "test-model") -> Draft:
    """A lesson of two sections and two pictures."""
    return Draft(
        request=LessonRequest(session_id="s", owner="o", topic="tides"),
        analysis=TopicAnalysis(
            output="",
            generator=generator,
            focus="Why the sea rises.",
            concepts=[Concept(term="Tide", meaning="The sea's rise."), Concept(term="Moon")],
        ),
        outline=Outline(
            output="",
            title=title,
            objectives=["Explain the tide"],
            sections=[SectionPlan(title="Pull"), SectionPlan(title="Ebb")],
            pictures=[PicturePlan(name="image1.jpg", caption="Map", map=NO_MAP)],
        ),
        sections=[
            Section(output="", markdown="## Pull\n\nThe moon pulls."),
            Section(output="", markdown="## Ebb\n\nWater leaves."),
        ],
        pictures=[
            PictureFile(output="", name="image1.jpg", caption="Map"),
            PictureFile(output="", name="image2.jpg", caption="Ebb tide", section=1),
        ],
    )


def test_a_lesson_has_its_parts_in_order() -> None:
    """Title, focus, who wrote it, objectives, sections with pictures in place, terms, summary, sources."""
    assert lesson_markdown(draft(), "In short.", [Material(title="Notes", text="a b c")]) == (
        "# Tides\n\nWhy the sea rises.\n\n*Written by test-model, a language model.*\n\n"
        "## What you will learn\n\n- Explain the tide\n\n![Map](images/image1.jpg)\n\n"
        "## Pull\n\nThe moon pulls.\n\n## Ebb\n\n![Ebb tide](images/image2.jpg)\n\nWater leaves.\n\n"
        "## Key terms\n\n- **Tide** — The sea's rise.\n\n## Summary\n\nIn short.\n\n"
        "## Sources\n\n- Notes (3 words)\n"
    )


def test_a_lesson_without_materials_says_what_it_rests_on() -> None:
    """A model's knowledge is to be checked; the offline composer has none."""
    assert "Written by test-model from what it knows" in lesson_markdown(draft(), "S", [])
    assert "without materials and without a model" in lesson_markdown(draft(generator="offline"), "S", [])


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "![x](http://evil/p.png)", "[a](javascript:b)", "# big"]
)
def test_titles_and_captions_are_shown_as_they_are(text: str) -> None:
    """What stands in a topic or a material's title is text, never markup."""
    html = MarkdownIt().render(lesson_markdown(draft(text), text, [Material(title=text, text="x")]))
    assert "<script" not in html
    assert "evil" not in html.replace("(http://evil/p.png)", "")
    assert "javascript:b)" not in html.replace("(javascript:b)", "")


@pytest.mark.parametrize(
    ("written", "forbidden"),
    [
        ("<img src=x onerror=alert(1)>", "<img"),
        ("text <script>alert(1)</script>", "<script"),
        ("![leak](https://evil.example/p.png)", "<img"),
        ("![leak][1]\n\n[1]: https://evil.example/p.png", "<img"),
        ("[click](javascript:alert(1))", 'href="javascript:'),
        ("[click]( <data:text/html,x>)", 'href="data:'),
        ("# Large\n\n## Also large", "<h1>"),
        ("## Also large", "<h2>"),
    ],
)
def test_a_models_markdown_cannot_do_harm(written: str, forbidden: str) -> None:
    """No tags, no pictures that call home, no scripts behind links, no headings above its own."""
    html = MarkdownIt("commonmark", {"html": True}).render(safe_markdown(written))
    assert forbidden not in html


def test_code_is_left_as_it_is() -> None:
    """Signs in a code block mean nothing to Markdown; a block that was not closed is."""
    code = "```html\n# <b>![x](y)</b>\n```"
    assert safe_markdown(code) == code
    assert safe_markdown("```\n<b>") == "```\n<b>\n```"


def test_ordinary_markdown_is_left_as_it_is() -> None:
    """Third-level headings, emphasis, web links, comparisons and lists are what sections are made of."""
    text = "### Check yourself\n\n1. Is 3 < 5? See [this](https://example.org).\n- **yes**"
    assert safe_markdown(text) == text
