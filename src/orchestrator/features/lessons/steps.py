"""The steps of a lesson: what touches models, materials and files."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator import Retry, progress, step, step_info
from orchestrator.agents.offline import GENERATOR
from orchestrator.agents.pictures import draw_concept_map
from orchestrator.core.errors import TerminalError
from orchestrator.core.patience import patiently
from orchestrator.features.lessons.composer import Composer, Drawn, Task
from orchestrator.features.lessons.document import lesson_markdown
from orchestrator.features.lessons.lesson import (
    ANALYZE,
    CONTENT,
    FINALIZE,
    IMAGES,
    OUTLINE,
    Draft,
    Lesson,
    LessonRequest,
    Outline,
    PictureBrief,
    PictureFile,
    PicturePlan,
    Progress,
    Section,
    SectionBrief,
    Tokens,
    TopicAnalysis,
)

if TYPE_CHECKING:
    from orchestrator.core.clock import Clock
    from orchestrator.features.lessons.repository import SessionRepository
    from orchestrator.journal.blobs import Blobs

# A provider that is briefly overloaded recovers within seconds; one that says for how long is obeyed.
RETRY = Retry(attempts=5, backoff=(1, 2, 4, 8))
# A model call ends by its own limit (model.timeout_s) before; this one ends what hangs anywhere else, such as
# the wait for tables that are away.
STEP_TIMEOUT_S = 1_800


class LessonSteps:
    """The five steps. A composer writes; this keeps the pictures and tells those who watch.

    Tables that are away are waited for within the step's time; a model that is away, as ``RETRY`` says.
    """

    def __init__(self, sessions: SessionRepository, composer: Composer, blobs: Blobs, clock: Clock) -> None:
        self._sessions = sessions
        self._composer = composer
        self._blobs = blobs
        self._clock = clock

    @step(name=ANALYZE, timeout=STEP_TIMEOUT_S, retry=RETRY)
    async def analyze_topic(self, request: LessonRequest) -> TopicAnalysis:
        """Find out what the topic is about, and for whom."""
        return await self._composer.analyze(await self._task(request), _tell)

    @step(name=OUTLINE, timeout=STEP_TIMEOUT_S, retry=RETRY)
    async def generate_outline(self, request: LessonRequest, analysis: TopicAnalysis) -> Outline:
        """Plan sections and pictures."""
        self._same_kind_of_writer(analysis)
        return await self._composer.outline(await self._task(request), analysis, _tell)

    @step(name=CONTENT, timeout=STEP_TIMEOUT_S, retry=RETRY)
    async def create_content(self, brief: SectionBrief) -> Section:
        """Write one section."""
        self._same_kind_of_writer(brief.analysis)
        return await self._composer.write(await self._task(brief.request), brief, _tell)

    @step(name=IMAGES, timeout=STEP_TIMEOUT_S, retry=RETRY)
    async def generate_images(self, brief: PictureBrief) -> PictureFile:
        """Make one picture and keep it. Made again after a crash, it takes the place of the first."""
        plan = brief.plan
        task = await self._task(brief.request)
        drawn = await self._composer.illustrate(task, plan) or await _concept_map(plan)
        await self._blobs.put(f"{brief.request.session_id}/{plan.name}", drawn.jpeg)
        return PictureFile(
            output=f"{plan.name}: {drawn.caption}",
            tokens=drawn.tokens,
            name=plan.name,
            caption=drawn.caption,
            section=plan.section,
        )

    @step(name=FINALIZE, timeout=STEP_TIMEOUT_S, retry=RETRY)
    async def finalize_lesson(self, draft: Draft) -> Lesson:
        """Sum the lesson up and put it together."""
        self._same_kind_of_writer(draft.analysis)
        task = await self._task(draft.request)
        summary = await self._composer.summarize(task, draft, _tell)
        taken = [draft.analysis, draft.outline, *draft.sections, *draft.pictures]
        markdown = lesson_markdown(draft, summary.text, task.materials)
        return Lesson(
            output=f"“{draft.outline.title}”: {len(markdown.split()):,} words",
            tokens=summary.tokens,
            lesson=markdown,
            summary=summary.text,
            images=[picture.name for picture in draft.pictures],
            generator=draft.analysis.generator,
            usage=Tokens.total([*(outcome.tokens for outcome in taken), summary.tokens]),
        )

    def _same_kind_of_writer(self, analysis: TopicAnalysis) -> None:
        """Offline composer and models cannot go on from each other's plans, and no lesson hides who wrote it.

        Raises:
            TerminalError: the settings changed while the lesson was under way.
        """
        if (analysis.generator == GENERATOR) != (self._composer.generator == GENERATOR):
            raise TerminalError(
                f"This lesson was begun by {analysis.generator}, and now {self._composer.generator} is "
                "configured. Create a new session, or start the service with the earlier settings.",
                code="generator_changed",
            )

    async def _task(self, request: LessonRequest) -> Task:
        materials = await patiently(
            lambda: self._sessions.materials(request.owner, request.session_id), self._clock
        )
        info = step_info()
        return Task(request, tuple(materials), info.idempotency_key, info.attempt)


def _tell(text: str, percent: int) -> None:
    progress(Progress(delta=text, progress=percent))


async def _concept_map(plan: PicturePlan) -> Drawn:
    drawing = await asyncio.to_thread(draw_concept_map, plan.map)
    return Drawn(drawing.picture.jpeg, drawing.caption, Tokens())
