"""Days: a learning intent goes in, a plan for each day comes out, fitted to what happened so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.features.days.deadlines import Deadlines
    from orchestrator.web.feature import Feature, Resources


def build(resources: Resources) -> Feature:
    """The room: routes, workflows, steps and schedule, on what the service has."""
    from orchestrator.features.days.asking import AskedAgents
    from orchestrator.features.days.connection import AgentConnection
    from orchestrator.features.days.repository import (
        IntentRepository,
        OverviewRepository,
        SessionRepository,
    )
    from orchestrator.features.days.routes import days_router
    from orchestrator.features.days.service import DayService
    from orchestrator.features.days.steps import DaySteps
    from orchestrator.features.days.workflow import day, prepare_days
    from orchestrator.web.feature import Feature
    from orchestrator.web.parts import Part

    intents = IntentRepository(resources.database, resources.outbox)
    sessions = SessionRepository(resources.database, resources.outbox)
    deadlines, clock = _deadlines(resources), resources.clock
    agents = AgentConnection(resources)
    service = DayService(
        intents, sessions, OverviewRepository(resources.database), resources.engine, deadlines, clock
    )
    return Feature(
        name="days",
        router=days_router(service, agents.router, resources.buckets, resources.settings.limits.day_runs),
        workflows=(day, prepare_days),
        steps=(DaySteps(AskedAgents(agents.client, agents.signals), intents, sessions, deadlines, clock),),
        parts=(Part("agents", lambda: agents),),
        on_start=(service.keep_schedule,),
    )


def _deadlines(resources: Resources) -> Deadlines:
    """Research takes longer, and needs a model unless the agents are elsewhere."""
    from orchestrator.features.days.deadlines import Deadlines

    settings = resources.settings.days
    does_research = resources.model is not None if settings.research is None else settings.research
    return Deadlines(settings.research_deadline_s if does_research else settings.deadline_s)
