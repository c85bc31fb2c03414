"""Orchestrator: durable AI-agent workflows, written once as plain async functions."""
