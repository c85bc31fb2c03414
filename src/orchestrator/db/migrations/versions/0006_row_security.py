"""Row-level security on every table; on SQLite nothing."""

from __future__ import annotations

from alembic import op

from orchestrator.db.row_security import protect, unprotect

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = (
    "lesson_sessions",
    "lesson_spending",
    "outbox",
    "idempotency_keys",
    "day_intents",
    "day_sessions",
    "day_signals",
)


def upgrade() -> None:
    """Let owners and the system alone see the rows; whoever starts the service may read their version."""
    protect(*TABLES)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("GRANT SELECT ON alembic_version TO PUBLIC")


def downgrade() -> None:
    """Let whoever has rights on the tables see all rows again."""
    unprotect(*TABLES)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("REVOKE SELECT ON alembic_version FROM PUBLIC")
