"""What is configured, what can be reached, what is wrong, and how to mend it.

Nothing is changed: files are opened for reading, ports are tried and let go, and the one question to the
model's provider is for its list of models, which costs nothing.
"""

from orchestrator.app.doctor.examination import examine
from orchestrator.app.doctor.report import Check, Report, Setting

__all__ = ["Check", "Report", "Setting", "examine"]
