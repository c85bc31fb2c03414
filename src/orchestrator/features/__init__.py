"""The rooms: one folder per orchestrator, each the whole of one document."""
