"""``Idempotency-Key``: what a client sends twice under one key is done once."""
