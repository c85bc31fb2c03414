"""The engine on a Temporal cluster."""
