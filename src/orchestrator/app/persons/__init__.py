"""What is held about a person: to be handed over, erased, or given to somebody else."""

from orchestrator.app.persons.kept import kept_by
from orchestrator.app.persons.persons import Persons
from orchestrator.app.persons.routes import build

__all__ = ["Persons", "build", "kept_by"]
