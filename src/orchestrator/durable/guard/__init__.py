"""Keeps workflows deterministic: their code is looked at when an engine takes it, their turns are guarded."""

from orchestrator.durable.guard.hook import refuse_io_on
from orchestrator.durable.guard.scan import Finding, NondeterministicWorkflowError, check
from orchestrator.durable.guard.vouched import deterministic

__all__ = ["Finding", "NondeterministicWorkflowError", "check", "deterministic", "refuse_io_on"]
