"""How Alembic reaches the tables: on the connection that it is handed."""

from __future__ import annotations

from alembic import context

from orchestrator.db.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
