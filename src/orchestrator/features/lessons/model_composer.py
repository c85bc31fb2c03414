"""Lessons by a language model, on a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from orchestrator.agents.budget import Account
from orchestrator.agents.offline import ConceptMap, Edge
from orchestrator.agents.offline.markdown import escaped
from orchestrator.core.errors import BudgetExceededError, TerminalError
from orchestrator.features.lessons import prompts
from orchestrator.features.lessons.composer import Drawn, Summary
from orchestrator.features.lessons.document import safe_markdown
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
    from orchestrator.agents.budget import Budget
    from orchestrator.agents.model import Model
    from orchestrator.features.lessons.composer import Task, Tell
    from orchestrator.features.lessons.lesson import Draft, SectionBrief
    from orchestrator.features.lessons.prompts import AnalysisAnswer, SectionAnswer

log = structlog.get_logger()

MOST_CONCEPTS = 12
MOST_SECTIONS = 8
MOST_OBJECTIVES = 8
MOST_PICTURES = 3
SECTION_WORDS = (80, 600)
LONGEST_TITLE_CHARS = 150
ALMOST_DONE_PERCENT = 99  # a section is done when its last word is there, however many were planned


class ModelComposer:
    """Asks a model for each part, within the session's and the day's budget."""

    def __init__(self, model: Model, budget: Budget) -> None:
        self.generator = model.generator
        self._model = model
        self._budget = budget

    async def analyze(self, task: Task, tell: Tell) -> TopicAnalysis:
        """Ask what the topic is about."""
        answer = await self._metered(task).structured(prompts.analysis_prompt(task), prompts.AnalysisAnswer)
        said = answer.value
        concepts = [
            Concept(term=_line(each.term), meaning=_line(each.meaning))
            for each in said.concepts[:MOST_CONCEPTS]
        ]
        tell(_line(said.focus), 100)
        return TopicAnalysis(
            output=f"For {said.level} learners: {', '.join(concept.term for concept in concepts)}",
            tokens=Tokens.of(answer.usage),
            generator=answer.generator,
            focus=_line(said.focus),
            level=said.level,
            concepts=concepts,
            map=_concept_map(task.request.topic, concepts, said),
        )

    async def outline(self, task: Task, analysis: TopicAnalysis, tell: Tell) -> Outline:
        """Ask for a plan."""
        prompt = prompts.outline_prompt(task, analysis)
        answer = await self._metered(task).structured(prompt, prompts.OutlineAnswer)
        said = answer.value
        sections = [_section_plan(each) for each in said.sections[:MOST_SECTIONS]]
        tell("\n".join(section.title for section in sections), 100)
        pictures = _pictures(analysis, said.sections[:MOST_SECTIONS], sections)
        return Outline(
            output=f"Sections: {len(sections)}. Pictures: {len(pictures)}.",
            tokens=Tokens.of(answer.usage),
            title=_line(said.title)[:LONGEST_TITLE_CHARS],
            objectives=[_line(objective) for objective in said.objectives[:MOST_OBJECTIVES]],
            sections=sections,
            pictures=pictures,
        )

    async def write(self, task: Task, brief: SectionBrief, tell: Tell) -> Section:
        """Ask for one section, and show its words as they come."""
        plan = brief.outline.sections[brief.number]
        heading = f"## {escaped(plan.title)}\n\n"
        tell(heading, 0)
        written = 0

        def show(text: str) -> None:
            nonlocal written
            written += len(text.split())
            tell(text, min(ALMOST_DONE_PERCENT, 100 * written // plan.words))

        answer = await self._metered(task).stream(prompts.section_prompt(task, brief), show)
        markdown = heading + safe_markdown(answer.value)
        return Section(
            output=f"{plan.title}: {len(markdown.split()):,} words",
            tokens=Tokens.of(answer.usage),
            markdown=markdown,
        )

    async def illustrate(self, task: Task, plan: PicturePlan) -> Drawn | None:
        """Ask an image model, if there is one. A picture that it will not make does not cost the lesson."""
        if not plan.wanted:
            return None
        try:
            answer = await self._metered(task).image(prompts.picture_prompt(task, plan))
        except BudgetExceededError:
            raise
        except TerminalError as error:
            log.warning("picture drawn instead", session=task.request.session_id, code=error.code)
            return None
        return Drawn(answer.value.jpeg, plan.caption, Tokens.of(answer.usage)) if answer else None

    async def summarize(self, task: Task, draft: Draft, tell: Tell) -> Summary:
        """Ask for a summary, and show its words as they come."""
        answer = await self._metered(task).stream(
            prompts.summary_prompt(task, draft), lambda text: tell(text, 0)
        )
        return Summary(_line(answer.value), Tokens.of(answer.usage))

    def _metered(self, task: Task) -> Model:
        request = task.request
        account = Account(request.owner, request.session_id, task.step_key, task.attempt)
        return self._budget.metered(self._model, account)


def _line(text: str) -> str:
    return " ".join(text.split())


def _section_plan(said: SectionAnswer) -> SectionPlan:
    fewest, most = SECTION_WORDS
    return SectionPlan(
        title=_line(said.title)[:LONGEST_TITLE_CHARS],
        aim=_line(said.aim),
        points=[_line(point) for point in said.points],
        words=min(max(said.words, fewest), most),
    )


def _concept_map(title: str, concepts: list[Concept], said: AnalysisAnswer) -> ConceptMap:
    """The concepts with their links, the one with most links in the middle."""
    place = {concept.term.casefold(): number for number, concept in enumerate(concepts)}
    found = [
        (place.get(_line(each.source).casefold()), place.get(_line(each.target).casefold()), each.phrase)
        for each in said.links
    ]
    links = [
        (one, other, _line(phrase))
        for one, other, phrase in found
        if one is not None and other is not None and one != other
    ]
    degrees = [sum(number in link[:2] for link in links) for number in range(len(concepts))]
    order = sorted(range(len(concepts)), key=lambda number: (-degrees[number], number))
    moved = {number: position for position, number in enumerate(order)}
    return ConceptMap(
        title,
        tuple(concepts[number].term for number in order),
        tuple(Edge(moved[one], moved[other], phrase) for one, other, phrase in links),
    )


def _pictures(
    analysis: TopicAnalysis, said: list[SectionAnswer], sections: list[SectionPlan]
) -> list[PicturePlan]:
    """A concept map of the whole, and for the first sections what an image model can show better."""
    whole = analysis.map or ConceptMap(analysis.focus, (), ())
    plans = [PicturePlan(name="image1.jpg", caption=f"Concept map: {whole.title}", map=whole)]
    for number, (answer, plan) in enumerate(zip(said, sections, strict=True)):
        if len(plans) < MOST_PICTURES and plan.points:
            nodes = (plan.title, *plan.points)
            edges = tuple(Edge(0, place) for place in range(1, len(nodes)))
            drawn = ConceptMap(plan.title, nodes, edges)
            plans.append(
                PicturePlan(
                    name=f"image{len(plans) + 1}.jpg",
                    caption=plan.title,
                    map=drawn,
                    wanted=_line(answer.picture),
                    section=number,
                )
            )
    return plans
