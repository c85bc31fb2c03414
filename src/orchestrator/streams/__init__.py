"""Ordered events: append, read from an offset, wait."""
