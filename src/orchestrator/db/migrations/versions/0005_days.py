"""Days: intents, the sessions of their days, and what agents said."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = ("day_intents", "day_sessions", "day_signals")


def upgrade() -> None:
    """Create the tables of the days room."""
    _create_intents()
    _create_sessions()
    _create_signals()


def downgrade() -> None:
    """Remove them."""
    for table in reversed(TABLES):
        op.drop_table(table)


def _create_intents() -> None:
    op.create_table(
        "day_intents",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("topic", sa.String(500), nullable=False),
        sa.Column("depth", sa.String(16), nullable=False),
        sa.Column("end_goal", sa.String(2_000), nullable=False),
        sa.Column("time_per_day_min", sa.Integer(), nullable=False),
        sa.Column("track_label", sa.String(200), nullable=True),
        sa.Column("user_tz", sa.String(64), nullable=False),
        sa.Column("meta", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("active_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_week", sa.Integer(), nullable=False),
        sa.Column("next_day", sa.Integer(), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_run_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_day_intents"),
    )
    only_active = sa.text("active")
    op.create_index(
        "uq_day_intents_active_owner",
        "day_intents",
        ["owner"],
        unique=True,
        sqlite_where=only_active,
        postgresql_where=only_active,
    )
    op.create_index("ix_day_intents_owner_id", "day_intents", ["owner", "id"])
    op.create_index("ix_day_intents_next_run_at", "day_intents", ["next_run_at"])


def _create_sessions() -> None:
    op.create_table(
        "day_sessions",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("intent_id", sa.String(36), nullable=False),
        sa.Column("topic", sa.String(500), nullable=False),
        sa.Column("week", sa.Integer(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("planned_min", sa.Integer(), nullable=False),
        sa.Column("plan_title", sa.String(500), nullable=False),
        sa.Column("plan_md", sa.Text(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("written_by", sa.String(16), nullable=False),
        sa.Column("signals_digest", sa.String(64), nullable=False),
        sa.Column("signal_quality", sa.JSON(), nullable=False),
        sa.Column("degraded_mode", sa.Boolean(), nullable=False),
        sa.Column("degraded_agents", sa.JSON(), nullable=False),
        sa.Column("cache_hits", sa.Integer(), nullable=False),
        sa.Column("cache_misses", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.String(128), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_tz", sa.String(64), nullable=True),
        sa.Column("completion_time_min", sa.Integer(), nullable=True),
        sa.Column("confidence", sa.Integer(), nullable=True),
        sa.Column("notes", sa.String(10_000), nullable=True),
        sa.Column("streak_days", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_day_sessions"),
        sa.UniqueConstraint("intent_id", "week", "day", name="uq_day_sessions_place"),
    )
    op.create_index("ix_day_sessions_owner_id", "day_sessions", ["owner", "id"])
    op.create_index("ix_day_sessions_owner_completed_at", "day_sessions", ["owner", "completed_at"])


def _create_signals() -> None:
    op.create_table(
        "day_signals",
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("agent", sa.String(16), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("etag", sa.String(512), nullable=True),
        sa.Column("fetched_at", sa.Float(53), nullable=False),
        sa.Column("confirmed_at", sa.Float(53), nullable=False),
        sa.PrimaryKeyConstraint("owner", "agent", "key", name="pk_day_signals"),
    )
