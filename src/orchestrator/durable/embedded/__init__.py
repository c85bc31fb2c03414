"""The engine in process: a deterministic loop per run, one SQLite journal."""
