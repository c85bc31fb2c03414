"""What happens to people's things, told to those who watch: written down with the change, never lost."""

from orchestrator.web.events.erasures import Erasures
from orchestrator.web.events.event import STREAM, Event, NewEvent
from orchestrator.web.events.feed import Feed, FellBehindError
from orchestrator.web.events.outbox import Outbox

__all__ = ["STREAM", "Erasures", "Event", "Feed", "FellBehindError", "NewEvent", "Outbox"]
