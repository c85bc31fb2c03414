"""Lessons without a model: the offline composer behind the port."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator.agents import offline
from orchestrator.features.lessons.composer import Summary
from orchestrator.features.lessons.lesson import (
    Concept,
    Outline,
    PicturePlan,
    Section,
    SectionPlan,
    Tokens,
    TopicAnalysis,
)

if TYPE_CHECKING:
    from orchestrator.agents.offline import ConceptMap, OutlineSection
    from orchestrator.features.lessons.composer import Drawn, Task, Tell
    from orchestrator.features.lessons.lesson import Draft, SectionBrief

FEWEST_PICTURES = 2
MOST_SECTION_PICTURES = 3
MOST_OBJECTIVES = 6


class OfflineComposer:
    """Quotes, orders and asks, from what the learner brought. It computes in threads: texts may be long."""

    generator = offline.GENERATOR

    async def analyze(self, task: Task, tell: Tell) -> TopicAnalysis:
        """Read the materials."""
        found = await asyncio.to_thread(offline.analyze, task.request.topic, _materials(task))
        tell(found.summary, 100)
        return TopicAnalysis(
            output=found.summary,
            generator=offline.GENERATOR,
            focus=found.summary,
            level=found.level,
            concepts=[Concept(term=term.text) for term in found.terms],
            read=found,
        )

    async def outline(self, task: Task, analysis: TopicAnalysis, tell: Tell) -> Outline:
        """Order the materials into sections."""
        read = _read(analysis)
        planned = await asyncio.to_thread(offline.outline, read, _materials(task))
        tell("\n".join(section.title for section in planned.sections), 100)
        pictures = await asyncio.to_thread(_pictures, task, read, planned)
        objectives = [objective for section in planned.sections for objective in section.objectives[:1]]
        return Outline(
            output=f"Sections: {len(planned.sections)}. Pictures: {len(pictures)}.",
            title=planned.title,
            objectives=objectives[:MOST_OBJECTIVES],
            sections=[SectionPlan(title=section.title, place=section) for section in planned.sections],
            pictures=pictures,
        )

    async def write(self, task: Task, brief: SectionBrief, tell: Tell) -> Section:
        """Write one section, from the place in the materials that the outline gave it."""
        plan = brief.outline.sections[brief.number]
        pieces = await asyncio.to_thread(
            lambda: list(offline.section(_read(brief.analysis), _place(plan), _materials(task)))
        )
        total, written = sum(map(len, pieces)), 0
        for piece in pieces:
            written += len(piece)
            tell(piece, 100 * written // total)
        markdown = "".join(pieces)
        return Section(output=f"{plan.title}: {len(markdown.split()):,} words", markdown=markdown)

    async def illustrate(self, task: Task, plan: object) -> Drawn | None:  # noqa: ARG002  # the port's shape
        """Nothing: concept maps are drawn."""
        return None

    async def summarize(self, task: Task, draft: Draft, tell: Tell) -> Summary:
        """Quote the sentences that say most."""
        outline = draft.outline
        planned = offline.Outline(outline.title, tuple(_place(plan) for plan in outline.sections))
        text = await asyncio.to_thread(offline.overview, planned, _materials(task))
        tell(text, 100)
        return Summary(text, Tokens())


def _pictures(task: Task, read: offline.TopicAnalysis, planned: offline.Outline) -> list[PicturePlan]:
    """A map of the whole, and maps of the sections that have most to show; none that says too little.

    Where too few maps have enough to say, the lesson's parts are a picture too.
    """
    materials = _materials(task)
    whole = offline.concept_map(read, materials)
    chosen: list[tuple[int | None, ConceptMap]] = [] if whole is None else [(None, whole)]
    parts = [
        (number, offline.concept_map(read, materials, section))
        for number, section in enumerate(planned.sections)
        if not section.guide and section.title != planned.title
    ]
    full = [(number, drawn) for number, drawn in parts if drawn is not None]
    for number, drawn in sorted(full, key=lambda part: -len(part[1].edges)):
        fresh = not any(offline.alike(drawn, other) for _, other in chosen)
        if fresh and len(chosen) <= MOST_SECTION_PICTURES:
            chosen.append((number, drawn))
    if len(chosen) < FEWEST_PICTURES and (of_parts := offline.outline_map(planned, read.terms)) is not None:
        chosen.append((None, of_parts))
    in_order = sorted(chosen, key=lambda part: -1 if part[0] is None else part[0])
    return [
        PicturePlan(name=f"image{place}.jpg", caption=_caption(drawn), map=drawn, section=number)
        for place, (number, drawn) in enumerate(in_order, start=1)
    ]


def _caption(drawn: ConceptMap) -> str:
    return f"Concept map: {drawn.title}"


def _materials(task: Task) -> tuple[offline.Material, ...]:
    return tuple(offline.Material(material.title, material.text) for material in task.materials)


def _read(analysis: TopicAnalysis) -> offline.TopicAnalysis:
    if analysis.read is None:
        raise ValueError("this analysis is a model's; the offline composer cannot go on from it")
    return analysis.read


def _place(plan: SectionPlan) -> OutlineSection:
    if plan.place is None:
        raise ValueError("this outline is a model's; the offline composer cannot go on from it")
    return plan.place
