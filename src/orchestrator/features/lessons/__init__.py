"""Lessons: a topic goes in, an illustrated lesson comes out, watched live."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.features.lessons.composer import Composer
    from orchestrator.web.feature import Feature, Resources


def build(resources: Resources) -> Feature:
    """The room: routes, workflow and steps, on what the service has."""
    from orchestrator.features.lessons import announcements
    from orchestrator.features.lessons.belongings import LessonBelongings
    from orchestrator.features.lessons.repository import SessionRepository
    from orchestrator.features.lessons.routes import OPEN_ROUTES, lessons_router
    from orchestrator.features.lessons.service import LessonService
    from orchestrator.features.lessons.steps import LessonSteps
    from orchestrator.features.lessons.workflow import lesson
    from orchestrator.web.feature import Feature

    sessions = SessionRepository(resources.database, resources.outbox)
    service = LessonService(sessions, resources.blobs, resources.engine, resources.clock)
    return Feature(
        name="lessons",
        router=lessons_router(service),
        workflows=(lesson,),
        steps=(LessonSteps(sessions, _composer(resources), resources.blobs, resources.clock),),
        on_start=(service.sweep, service.keep),
        background=(service.keep_always, service.tell_endings_always),
        events=announcements.ALL,
        sessions=service.running,
        belongings=LessonBelongings(sessions, service),
        open_cors=OPEN_ROUTES,
    )


def _composer(resources: Resources) -> Composer:
    from orchestrator.agents.budget import Budget, Limits
    from orchestrator.agents.spending import SpendingLedger
    from orchestrator.features.lessons.model_composer import ModelComposer
    from orchestrator.features.lessons.offline_composer import OfflineComposer

    if resources.model is None:
        return OfflineComposer()
    settings = resources.settings.lessons
    limits = Limits(settings.session_budget_tokens, settings.daily_cap_tokens)
    ledger = SpendingLedger(resources.database, resources.clock)
    return ModelComposer(resources.model, Budget(ledger, limits, resources.clock))
