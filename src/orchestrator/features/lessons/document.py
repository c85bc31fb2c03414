"""The lesson as one Markdown document."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from orchestrator.agents.offline import GENERATOR
from orchestrator.agents.offline.markdown import bulleted, escaped
from orchestrator.agents.offline.words import count_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.features.lessons.lesson import Draft, Material, PictureFile

# A model may repeat what a hostile text told it to write. Whoever shows the lesson gets text, not tags,
# scripts, or pictures that call home.
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_PICTURE = re.compile(r"!\[")
_SCHEME = re.compile(
    r"(\]\(\s*<?|^\s{0,3}\[[^\]]+\]:\s*<?)(?!https?:|mailto:)[A-Za-z][A-Za-z0-9+.-]*:", re.MULTILINE
)
_LARGE_HEADING = re.compile(r"^#{1,2}(?=\s)")
_FENCE = re.compile(r"^\s{0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r"^## .+\n", re.MULTILINE)


def lesson_markdown(draft: Draft, summary: str, materials: Sequence[Material]) -> str:
    """Title, objectives, sections with their pictures, key terms, summary and sources."""
    outline = draft.outline
    parts = [f"# {escaped(outline.title)}", escaped(draft.analysis.focus), _byline(draft, materials)]
    if outline.objectives:
        parts += ["## What you will learn", bulleted([escaped(goal) for goal in outline.objectives])]
    parts += _shown(draft.pictures, None)
    for number, section in enumerate(draft.sections):
        parts.append(_with_pictures(section.markdown, _shown(draft.pictures, number)))
    known = [concept for concept in draft.analysis.concepts if concept.meaning]
    if known:
        lines = [f"**{escaped(concept.term)}** — {escaped(concept.meaning)}" for concept in known]
        parts += ["## Key terms", bulleted(lines)]
    parts += ["## Summary", escaped(summary), "## Sources", _sources(draft.analysis.generator, materials)]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def safe_markdown(text: str) -> str:
    """A model's Markdown as part of a section: without HTML, foreign pictures and large headings."""
    return "\n".join(_safe_lines(text))


def _safe_lines(text: str) -> Iterator[str]:
    fence = ""
    for line in text.strip().splitlines():
        mark = _FENCE.match(line)
        if fence:
            if mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            yield line
        elif mark:
            fence = mark[1]
            yield line
        else:
            yield _safe(line)
    if fence:
        yield fence


def _safe(line: str) -> str:
    shown = _PICTURE.sub(r"!\\[", _TAG.sub("&lt;", line))
    return _LARGE_HEADING.sub("###", _SCHEME.sub(r"\1unsafe:", shown))


def _shown(pictures: Sequence[PictureFile], section: int | None) -> list[str]:
    return [
        f"![{escaped(picture.caption)}](images/{picture.name})"
        for picture in pictures
        if picture.section == section
    ]


def _with_pictures(section: str, pictures: list[str]) -> str:
    """Pictures stand below the section's heading."""
    heading = _HEADING.match(section)
    if heading is None or not pictures:
        return section
    return "\n\n".join([heading[0].strip(), *pictures, section[heading.end() :].strip("\n")])


def _byline(draft: Draft, materials: Sequence[Material]) -> str:
    """Who wrote this: said in the lesson itself, for it may be passed on without its result."""
    if draft.analysis.generator != GENERATOR:
        return f"*Written by {escaped(draft.analysis.generator)}, a language model.*"
    return "*Written offline, in the words of the materials.*" if materials else "*Written offline.*"


def _counted(words: int) -> str:
    return f"{words:,} word{'' if words == 1 else 's'}"


def _sources(generator: str, materials: Sequence[Material]) -> str:
    if materials:
        lines = [f"{escaped(each.title)} ({_counted(count_words(each.text))})" for each in materials]
        return bulleted(lines)
    if generator == GENERATOR:
        return "None: this guide was made without materials and without a model."
    return f"Written by {escaped(generator)} from what it knows, without materials. Check what matters."
