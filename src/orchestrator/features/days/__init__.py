"""Days: a learning intent goes in, a plan for each day comes out, fitted to what happened so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.features.days.agents.service import AgentService
    from orchestrator.features.days.deadlines import Deadlines
    from orchestrator.web.feature import Feature, Resources


def build(resources: Resources) -> Feature:
    """The room: routes, workflows, steps and schedule, on what the service has."""
    from orchestrator.core.pacing import Pace
    from orchestrator.features.days import events
    from orchestrator.features.days.asking import AskedAgents
    from orchestrator.features.days.connection import AgentConnection
    from orchestrator.features.days.morning import Morning
    from orchestrator.features.days.repository import (
        IntentRepository,
        OverviewRepository,
        SessionRepository,
    )
    from orchestrator.features.days.routes import days_router
    from orchestrator.features.days.schedule import keep_schedule, schedule_id
    from orchestrator.features.days.service import DayService
    from orchestrator.features.days.steps import DaySteps
    from orchestrator.features.days.storing import Storing
    from orchestrator.features.days.workflow import day, prepare_days
    from orchestrator.web.feature import Feature
    from orchestrator.web.parts import Part

    intents = IntentRepository(resources.database, resources.outbox)
    sessions = SessionRepository(resources.database, resources.outbox)
    storing = Storing(sessions, resources.clock)
    deadlines, clock = _deadlines(resources), resources.clock
    agents = AgentConnection(resources, _own_agents(resources, deadlines))
    morning = Morning(intents, resources.engine, deadlines, clock)
    service = DayService(
        intents,
        sessions,
        storing,
        OverviewRepository(resources.database),
        resources.engine,
        deadlines,
        clock,
        # Who has waited for half of a plan's time has little left of it.
        Pace(lambda: resources.database.is_behind, deadlines.limit_s / 2),
    )
    return Feature(
        name="days",
        router=days_router(service, agents.router, resources.buckets, resources.settings.limits.day_runs),
        workflows=(day, prepare_days),
        steps=(DaySteps(AskedAgents(agents.client, agents.signals), storing, morning),),
        parts=(Part("agents", lambda: agents),),
        on_start=(lambda: keep_schedule(resources.engine(), schedule_id(resources.settings)),),
        background=(service.forget_replaced_always,),
        before_giving=(intents.make_way,),
        events=events.ALL,
    )


def _deadlines(resources: Resources) -> Deadlines:
    """Research takes longer, and needs a model unless the agents are elsewhere."""
    from orchestrator.features.days.deadlines import Deadlines

    settings = resources.settings.days
    return Deadlines(settings.research_deadline_s if _does_research(resources) else settings.deadline_s)


def _does_research(resources: Resources) -> bool:
    wanted = resources.settings.days.research
    return resources.model is not None if wanted is None else wanted


def _own_agents(resources: Resources, deadlines: Deadlines) -> AgentService:
    """Ours by rules, and worded by the model where there is one."""
    from orchestrator.agents.budget import Budget, Limits, Rule
    from orchestrator.agents.spending import SpendingLedger
    from orchestrator.features.days.agents.service import AgentService
    from orchestrator.features.days.agents.writer import Patience, Writer
    from orchestrator.features.days.repository import DayHistory

    settings, clock, writer = resources.settings, resources.clock, None
    if resources.model is not None:
        limits = Limits(
            settings.days.learner_daily_tokens,
            settings.lessons.daily_cap_tokens,
            Rule("For this learner's day", "days.learner_daily_tokens", "learner_budget_exceeded"),
        )
        budget = Budget(SpendingLedger(resources.database, clock), limits, clock)
        writer = Writer(resources.model, budget, clock, Patience.within(deadlines.limit_s))
    return AgentService(DayHistory(resources.database), clock, writer, research=_does_research(resources))
