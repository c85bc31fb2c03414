"""Days: a learning intent goes in, a plan for each day comes out, fitted to what happened so far."""
