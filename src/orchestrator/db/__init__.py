"""Tables: sessions that know their owner, and their migrations."""

from orchestrator.db.database import Database
from orchestrator.db.migrating import Migration
from orchestrator.db.session import SYSTEM, SYSTEM_OWNER, Session
from orchestrator.db.tables import SECRET, Base, Owned, UtcTime

__all__ = ["SECRET", "SYSTEM", "SYSTEM_OWNER", "Base", "Database", "Migration", "Owned", "Session", "UtcTime"]
