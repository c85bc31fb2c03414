"""Row-level security: on PostgreSQL the server itself shows a session its user's rows and no others.

It is the second wall behind the filter of `session.py`. Sessions leave the user they connected as for the
length of a transaction, and become one of two roles that cannot log in and own nothing:

- ``orchestrator_user`` sees and changes rows whose ``owner`` is the setting ``orchestrator.user``;
- ``orchestrator_system`` sees and changes everybody's, for the service's own work.

A migration calls `protect` on each table that it makes. SQLite has no roles: there all of this does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alembic import op
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from orchestrator.core.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import Connection, MetaData

USER_ROLE: Final = "orchestrator_user"
SYSTEM_ROLE: Final = "orchestrator_system"
ROLES: Final = (USER_ROLE, SYSTEM_ROLE)
RIGHTS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")
# On the sequences of a table; reading them is for dumps.
SEQUENCE_RIGHTS: Final = {USER_ROLE: ("USAGE",), SYSTEM_ROLE: ("USAGE", "SELECT")}
# One statement, and local to the transaction: a pooled connection, ours or PgBouncer's, keeps nothing of it.
ENTER: Final = "SELECT set_config('role', $1, true), set_config('orchestrator.user', $2, true)"
# Who sees which rows. The setting is empty, not null, once it was set in an earlier transaction. A user that
# inherits the system's rights sees no row before it has become the system.
POLICIES: Final = {
    USER_ROLE: "owner = nullif(current_setting('orchestrator.user', true), '')",
    SYSTEM_ROLE: f"current_user = '{SYSTEM_ROLE}'",
}
# From here on a membership says by itself whether it may be entered, and whether it is felt before that.
GRANT_HAS_OPTIONS: Final = 160_000

_NO_RIGHT: Final = "42501"
# A duplicate, found early or late: roles are the whole server's, and another database's migration was faster.
_MADE_MEANWHILE: Final = ("42710", "23505")


def enter(connection: Connection, role: str, user: str) -> None:
    """Become ``role``, on behalf of ``user``, for the rest of the transaction."""
    connection.exec_driver_sql(ENTER, (role, user))


# -- for migrations ----------------------------------------------------------------------------------


def protect(*tables: str) -> None:
    """Show these tables' rows to their owners and to the system alone. Each has a column ``owner``.

    Raises:
        SettingsError: the roles are not there, and this user may not make them; it says who has to run what.
    """
    _protect(tables, ROLES)


def reserve(*tables: str) -> None:
    """Show these tables, which belong to nobody, to the system alone. Raises as `protect` does."""
    _protect(tables, (SYSTEM_ROLE,))


def unprotect(*tables: str) -> None:
    """Undo `protect` and `reserve`. The roles stay: other databases of the server use them."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    for table in map(_quoter(connection), tables):
        for role in ROLES:
            connection.exec_driver_sql(f"DROP POLICY IF EXISTS {role} ON {table}")
        connection.exec_driver_sql(f"REVOKE ALL ON {table} FROM {', '.join(ROLES)}")
        connection.exec_driver_sql(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")


def _protect(tables: Sequence[str], roles: Sequence[str]) -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    # First, since only their owner may: whoever may not learns that, and nothing about roles.
    for table in map(_quoter(connection), tables):
        connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        connection.exec_driver_sql(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    _make_roles(connection)
    for statement in _lacking_walls(connection, dict.fromkeys(tables, roles)):
        connection.exec_driver_sql(statement)


def _make_roles(connection: Connection) -> None:
    while lacking := lacking_roles(connection):
        try:
            with connection.begin_nested():
                connection.exec_driver_sql(lacking[0])
        except DBAPIError as error:
            state = getattr(error.orig, "sqlstate", None)
            if state == _NO_RIGHT:
                raise SettingsError(
                    "The tables need two roles of the PostgreSQL server, and this user may not make or grant "
                    f"them. Have its administrator run: {as_script(lacking)} Nothing was changed."
                ) from error
            if state not in _MADE_MEANWHILE:
                raise


# -- what is lacking, as the statements that mend it -------------------------------------------------


def lacking(connection: Connection, metadata: MetaData) -> list[str]:
    """What somebody has to run before this connection's user can serve; empty where all is well."""
    if roles := lacking_roles(connection):
        return roles
    walls = {
        name: ROLES if "owner" in table.columns else (SYSTEM_ROLE,)
        for name, table in sorted(metadata.tables.items())
    }
    return _lacking_walls(connection, walls)


def lacking_roles(connection: Connection) -> list[str]:
    """The statements that make the roles what they must be, and this connection's user a member of them."""
    query = "SELECT rolname, rolsuper OR rolbypassrls AS passes FROM pg_roles WHERE rolname = ANY(:roles)"
    found = connection.execute(text(query), {"roles": list(ROLES)})
    known = {role.rolname: role.passes for role in found}
    version = connection.scalar(text("SELECT current_setting('server_version_num')::int"))
    has_options = version >= GRANT_HAS_OPTIONS
    is_member = text("SELECT pg_has_role(:role, :right)")
    right = "SET" if has_options else "MEMBER"
    me = _quoter(connection)(connection.scalar(text("SELECT current_user")))
    statements = [f"CREATE ROLE {role} NOLOGIN" for role in ROLES if role not in known]
    statements += [f"ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS" for role in ROLES if known.get(role)]
    for role in ROLES:
        if role not in known or not connection.scalar(is_member, {"role": role, "right": right}):
            options = " WITH INHERIT FALSE, SET TRUE" if has_options else ""
            statements.append(f"GRANT {role} TO {me}{options}")
    return statements


# Of each table: its row-level security, its policies, which role has which rights, and its sequences.
_WALLS: Final = text(
    "SELECT relname, relrowsecurity, relforcerowsecurity, "
    "ARRAY(SELECT polname::text FROM pg_policy WHERE polrelid = tables.oid) AS policies, "
    "ARRAY(SELECT role || ' ' || permit "
    "FROM unnest(CAST(:roles AS text[])) AS role, unnest(CAST(:rights AS text[])) AS permit "
    "WHERE has_table_privilege(role, tables.oid, permit)) AS granted, "
    "ARRAY(SELECT objid::regclass::text FROM pg_depend JOIN pg_class AS parts ON parts.oid = objid "
    "WHERE refobjid = tables.oid AND deptype IN ('a', 'i') AND parts.relkind = 'S') AS sequences "
    "FROM pg_class AS tables WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(:tables) "
    "ORDER BY relname"
)
_SEQUENCE: Final = text("SELECT has_sequence_privilege(:role, CAST(:sequence AS text), :permit)")
_SCHEMA: Final = text(
    "SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname = current_schema() "
    "AND NOT has_schema_privilege(:role, oid, 'USAGE')"
)


def _lacking_walls(connection: Connection, tables: Mapping[str, Iterable[str]]) -> list[str]:
    """What the tables lack for those roles: row-level security, policies, and rights."""
    statements = []
    for role in ROLES:
        schemas = connection.scalars(_SCHEMA, {"role": role})
        statements += [f"GRANT USAGE ON SCHEMA {schema} TO {role}" for schema in schemas]
    asked = {"roles": list(ROLES), "rights": list(RIGHTS), "tables": list(tables)}
    for wall in connection.execute(_WALLS, asked).all():
        name = _quoter(connection)(wall.relname)
        for verb, done in (("ENABLE", wall.relrowsecurity), ("FORCE", wall.relforcerowsecurity)):
            if not done:
                statements.append(f"ALTER TABLE {name} {verb} ROW LEVEL SECURITY")
        for role in tables[wall.relname]:
            if role not in wall.policies:
                statements.append(f"CREATE POLICY {role} ON {name} TO {role} USING ({POLICIES[role]})")
            if rights := [right for right in RIGHTS if f"{role} {right}" not in wall.granted]:
                statements.append(f"GRANT {', '.join(rights)} ON {name} TO {role}")
            for sequence in wall.sequences:
                statements += _lacking_on_sequence(connection, sequence, role)
    return statements


def _lacking_on_sequence(connection: Connection, sequence: str, role: str) -> list[str]:
    given = {"role": role, "sequence": sequence}
    return [
        f"GRANT {right} ON SEQUENCE {sequence} TO {role}"
        for right in SEQUENCE_RIGHTS[role]
        if not connection.scalar(_SEQUENCE, given | {"permit": right})
    ]


def passes_by(connection: Connection) -> str | None:
    """Why this connection's user could go past the wall if it forgot to take a role; None where it cannot."""
    superuser, bypasses = connection.execute(
        text("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user")
    ).one()
    if superuser:
        return "is a superuser"
    if bypasses:
        return "has BYPASSRLS"
    owned = text(
        "SELECT 1 FROM pg_class WHERE oid = 'alembic_version'::regclass AND pg_has_role(relowner, 'USAGE')"
    )
    return "owns the tables" if connection.scalar(owned) else None


def as_script(statements: Iterable[str]) -> str:
    """The statements on one line, to be pasted into psql."""
    return " ".join(f"{statement};" for statement in statements)


def _quoter(connection: Connection) -> Callable[[str], str]:
    return connection.dialect.identifier_preparer.quote
