"""The model that writes lessons and words plans: whether it can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from orchestrator.app.doctor.report import PROBE_TIMEOUT_S, Check

if TYPE_CHECKING:
    from orchestrator.core.settings import ModelSettings

OPENAI_ADDRESS = "https://api.openai.com/v1"


def model(settings: ModelSettings) -> Check:
    """Whether it takes the key and has that name; nothing is spent."""
    if not settings.is_configured:
        detail = "none configured: the offline composer writes lessons, rules plan days, and both say so"
        return Check("model", "ok", detail, "For a real model, set OPENAI_API_KEY or OPENAI_BASE_URL.")
    address = (settings.base_url or OPENAI_ADDRESS).rstrip("/")
    key = {"Authorization": f"Bearer {settings.api_key.get_secret_value()}"} if settings.api_key else {}
    try:
        answer = httpx2.get(f"{address}/models", headers=key, timeout=PROBE_TIMEOUT_S)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        mend = "Check the address in model.base_url (OPENAI_BASE_URL) and that the provider runs."
        return Check("model", "broken", f"{address} cannot be reached: {error}", mend)
    return _judged(answer, address, settings.name)


def _judged(answer: httpx2.Response, address: str, name: str) -> Check:
    if answer.status_code in {401, 403}:
        mend = "Check model.api_key (OPENAI_API_KEY)."
        return Check("model", "broken", f"{address} refuses the key (HTTP {answer.status_code})", mend)
    if not answer.is_success:
        detail = f"{address} answers, though not to a question for its models (HTTP {answer.status_code})"
        return Check("model", "warning", detail, "Check that the address ends as the provider says (/v1).")
    try:
        offered = {str(entry["id"]) for entry in answer.json()["data"]}
    except (ValueError, KeyError, TypeError):
        offered = set()
    if name not in offered:
        mend = "Set model.name (ORCHESTRATOR_MODEL_NAME) to one that it offers."
        some = ", ".join(sorted(offered)[:3]) or "none"
        return Check("model", "warning", f"{address} does not list {name} (it lists {some})", mend)
    return Check("model", "ok", f"{name} at {address}")
