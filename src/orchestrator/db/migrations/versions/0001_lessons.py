"""Lessons: sessions and spent tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables of the lessons room."""
    op.create_table(
        "lesson_sessions",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("topic", sa.String(500), nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("intent", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_lesson_sessions"),
    )
    op.create_index("ix_lesson_sessions_owner_id", "lesson_sessions", ["owner", "id"])
    op.create_index("ix_lesson_sessions_intent", "lesson_sessions", ["intent"])
    op.create_table(
        "lesson_spending",
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("session_id", sa.String(36), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_lesson_spending"),
    )
    op.create_index("ix_lesson_spending_session_id", "lesson_spending", ["session_id"])
    op.create_index("ix_lesson_spending_day", "lesson_spending", ["day"])


def downgrade() -> None:
    """Remove them."""
    op.drop_table("lesson_spending")
    op.drop_table("lesson_sessions")
