"""Lessons: what a session's last run ended as, kept when the run itself is gone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE = "lesson_sessions"


def upgrade() -> None:
    """Add the columns; of sessions that ended before, they are filled at the next start."""
    op.add_column(TABLE, sa.Column("kept_run", sa.Integer(), nullable=False, server_default="0"))
    op.add_column(TABLE, sa.Column("ended_as", sa.String(16), nullable=True))
    op.add_column(TABLE, sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(TABLE, sa.Column("kept", sa.JSON(), nullable=True))


def downgrade() -> None:
    """Remove them."""
    for column in ("kept", "ended_at", "ended_as", "kept_run"):
        op.drop_column(TABLE, column)
