"""Calling agents and models: the model port, its OpenAI-compatible and offline backends, budgets."""
