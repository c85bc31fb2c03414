"""The offline composer: lessons from what a learner brings, with no model and no network.

It quotes, orders and asks; it never makes anything up. The same input gives the same lesson. Without
materials it writes a study guide and says so.
"""

from orchestrator.agents.offline.analysis import GENERATOR, MaterialReport, TopicAnalysis, analyze
from orchestrator.agents.offline.concepts import ConceptMap, Edge, alike, concept_map, outline_map
from orchestrator.agents.offline.outlining import Outline, OutlineSection, outline
from orchestrator.agents.offline.reading import Material
from orchestrator.agents.offline.terms import Term
from orchestrator.agents.offline.writing import overview, section

__all__ = [
    "GENERATOR",
    "ConceptMap",
    "Edge",
    "Material",
    "MaterialReport",
    "Outline",
    "OutlineSection",
    "Term",
    "TopicAnalysis",
    "alike",
    "analyze",
    "concept_map",
    "outline",
    "outline_map",
    "overview",
    "section",
]
