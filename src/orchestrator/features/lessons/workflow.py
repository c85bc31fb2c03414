"""The durable workflow: five steps that hand typed results on to each other."""

from __future__ import annotations

from orchestrator import Context, workflow
from orchestrator.features.lessons.lesson import (
    CONTENT,
    IMAGES,
    PARTS,
    Draft,
    Lesson,
    LessonRequest,
    Parts,
    PictureBrief,
    Section,
    SectionBrief,
)
from orchestrator.features.lessons.steps import LessonSteps

PICTURES_AT_ONCE = 2


@workflow(name="lesson")
async def lesson(ctx: Context, request: LessonRequest) -> Lesson:
    """Make a lesson of a topic. Sections and pictures are steps of their own, so none is paid for twice."""
    analysis = await ctx.run(LessonSteps.analyze_topic, request)
    outline = await ctx.run(LessonSteps.generate_outline, request, analysis)

    # One after the other, so that those who watch can read along.
    ctx.publish(PARTS, Parts(step=CONTENT, count=len(outline.sections)))
    sections: list[Section] = []
    for number in range(len(outline.sections)):
        brief = SectionBrief(request=request, analysis=analysis, outline=outline, number=number)
        sections.append(await ctx.run(LessonSteps.create_content, brief))

    ctx.publish(PARTS, Parts(step=IMAGES, count=len(outline.pictures)))
    briefs = [PictureBrief(request=request, plan=plan) for plan in outline.pictures]
    pictures = await ctx.map(LessonSteps.generate_images, briefs, at_once=PICTURES_AT_ONCE)

    draft = Draft(request=request, analysis=analysis, outline=outline, sections=sections, pictures=pictures)
    return await ctx.run(LessonSteps.finalize_lesson, draft)
