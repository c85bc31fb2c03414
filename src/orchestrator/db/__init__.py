"""Tables: sessions that know their owner, and their migrations."""

from orchestrator.db.database import Database
from orchestrator.db.migrating import Migration
from orchestrator.db.session import SYSTEM, Session
from orchestrator.db.tables import SECRET, Base, Owned, UtcTime

__all__ = ["SECRET", "SYSTEM", "Base", "Database", "Migration", "Owned", "Session", "UtcTime"]
