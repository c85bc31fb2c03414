"""A front end of document 000 in Python, by a real supabase-py: prints what it was answered as JSON.

Arguments: the service's address, the project's anonymous key, and a user's token.
"""

import json
import sys

from supabase import ClientOptions, create_client
from supabase_functions.errors import FunctionsHttpError

url, key, token = sys.argv[1:]
supabase = create_client(url, key, ClientOptions(headers={"Authorization": f"Bearer {token}"}))


def invoke(function: str, body: dict[str, object] | None = None) -> object:
    """What one function of the orchestrator answers."""
    options = {"body": body} if body is not None else {}
    return json.loads(supabase.functions.invoke(f"orchestrator/{function}", options))


def refused(function: str, body: dict[str, object]) -> str:
    """The message of the error that the library raises."""
    try:
        invoke(function, body)
    except FunctionsHttpError as error:
        return error.message
    raise AssertionError(f"{function} was not refused")


before = invoke("status")
early = refused("day.run", {"week": 1, "day": 3})
intent = invoke(
    "intent.sync",
    {
        "topic": "Machine Learning",
        "depth": "informed",
        "end_goal": "Build production ML models",
        "time_per_day_min": 60,
    },
)
plan = invoke("day.run", {"week": 1, "day": 3})
done = invoke(
    "day.done",
    {"session_id": plan["session_id"], "completion_time_min": 45, "confidence": 7},
)
told = {
    "before": before,
    "early": early,
    "intent": intent,
    "plan": plan,
    "done": done,
    "status": invoke("status"),
}
print(json.dumps(told))
