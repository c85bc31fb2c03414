"""The audit trail, which both databases keep from being changed.

An entry may be removed once its time is over, and the person in it may be blanked; all else is refused. On
SQLite a later migration that copies this table has to make its triggers anew.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from orchestrator.db.row_security import reserve

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

REFUSAL = "the audit trail is added to, and never changed"
BLANKED = "OLD.person <> '' AND NEW.person = '' AND NEW.who = 'user:erased' AND NEW.source = ''"
STAYS = ("id", "at", "action", "subject", "times", "kept_until")
IS_OVER = {
    "sqlite": "OLD.kept_until IS NOT NULL AND OLD.kept_until <= strftime('%Y-%m-%d %H:%M:%f', 'now')",
    "postgresql": "OLD.kept_until IS NOT NULL AND OLD.kept_until <= now()",
}


def upgrade() -> None:
    """Create the table and its guards."""
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("who", sa.String(300), nullable=False),
        sa.Column("person", sa.String(300), nullable=False),
        sa.Column("subject", sa.String(300), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("kept_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entries"),
    )
    op.create_index("ix_audit_entries_person", "audit_entries", ["person"])
    op.create_index("ix_audit_entries_kept_until", "audit_entries", ["kept_until"])
    if op.get_bind().dialect.name == "postgresql":
        _guard_on_postgres()
    else:
        _guard_on_sqlite()
    reserve("audit_entries")


def downgrade() -> None:
    """Remove it."""
    op.drop_table("audit_entries")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_entries_refuse()")


def _guard_on_sqlite() -> None:
    refused = {
        "DELETE": f"NOT ({IS_OVER['sqlite']})",
        "UPDATE": f"NOT ({BLANKED} AND {_all_stays('IS')})",
        # INSERT OR REPLACE removes what is in its way without asking the trigger on DELETE.
        "INSERT": "EXISTS (SELECT 1 FROM audit_entries WHERE id = NEW.id)",
    }
    for verb, when in refused.items():
        op.execute(
            f"CREATE TRIGGER audit_entries_{verb.lower()} BEFORE {verb} ON audit_entries WHEN {when} "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        )


def _guard_on_postgres() -> None:
    op.execute(
        "CREATE FUNCTION audit_entries_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$"
    )
    refused = {
        "DELETE": f"NOT ({IS_OVER['postgresql']})",
        "UPDATE": f"NOT ({BLANKED} AND {_all_stays('IS NOT DISTINCT FROM')})",
    }
    for verb, when in refused.items():
        op.execute(
            f"CREATE TRIGGER audit_entries_{verb.lower()} BEFORE {verb} ON audit_entries FOR EACH ROW "
            f"WHEN ({when}) EXECUTE FUNCTION audit_entries_refuse()"
        )
    op.execute(
        "CREATE TRIGGER audit_entries_truncate BEFORE TRUNCATE ON audit_entries FOR EACH STATEMENT "
        "EXECUTE FUNCTION audit_entries_refuse()"
    )


def _all_stays(equals: str) -> str:
    return " AND ".join(f"NEW.{column} {equals} OLD.{column}" for column in STAYS)
