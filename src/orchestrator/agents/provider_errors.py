"""What an error of a model provider means for us: which kind it is, and what a person can do about it."""

from __future__ import annotations

import httpx2
import openai

from orchestrator.agents.model import NotServedError
from orchestrator.agents.retry_after import retry_after
from orchestrator.core.errors import (
    OrchestratorError,
    RateLimitedError,
    TerminalError,
    UnavailableError,
)

# Parts of a request that servers may lack, as they name them when they refuse.
OPTIONAL_FEATURES = ("response_format", "max_tokens", "temperature", "stream_options")
REFUSES_A_PART = frozenset({400, 422, 501})
KEY_REFUSED = frozenset({401, 403})
NOT_FOUND = 404
TOO_MANY = 429
BUSY = frozenset({408, 409, 425})
FIRST_SERVER_ERROR = 500


def lacking_feature(error: openai.OpenAIError) -> str | None:
    """The optional part of the request that the server does not understand, if that is what it says."""
    if not isinstance(error, openai.APIStatusError) or error.status_code not in REFUSES_A_PART:
        return None
    complaint = f"{error.param or ''} {error.message}".replace("json_schema", "response_format")
    return next((feature for feature in OPTIONAL_FEATURES if feature in complaint), None)


def explained(error: openai.OpenAIError, *, setting: str, now: float) -> OrchestratorError:
    """Our own error for the library's. ``setting`` names the model that was asked, ``now`` is epoch seconds.

    The provider's words stay out of it: they may quote the prompt or the key.
    """
    if isinstance(error, openai.APITimeoutError):
        message = "The model server did not answer in time (model.timeout_s)."
        if isinstance(error.__cause__, httpx2.ConnectTimeout):
            return NotServedError(message, code="model_slow")
        return UnavailableError(message, code="model_slow")
    if isinstance(error, openai.APIStatusError):
        return _explained_status(error, setting=setting, now=now)
    message = "The connection to the model server failed or broke off (model.base_url)."
    if isinstance(error.__cause__, httpx2.ConnectError):
        return NotServedError(message)
    return UnavailableError(message)


def _explained_status(error: openai.APIStatusError, *, setting: str, now: float) -> OrchestratorError:
    status = error.status_code
    if status in KEY_REFUSED:
        return TerminalError(
            f"The model server refused the key ({status}). Set model.api_key (OPENAI_API_KEY) to one that it "
            "accepts, and model.base_url to where that key belongs.",
            code="model_key_refused",
        )
    if status == NOT_FOUND:
        return TerminalError(
            f"The model server does not have what was asked for (404). Check {setting}, and that "
            "model.base_url is right: it usually ends in /v1.",
            code="model_not_found",
        )
    if error.code == "insufficient_quota":
        return TerminalError(
            "The account with the model provider has no credit left; add some there.", code="model_no_credit"
        )
    if status == TOO_MANY:
        return RateLimitedError(
            "The model server asks to slow down.", retry_after=retry_after(error.response.headers, now)
        )
    if status >= FIRST_SERVER_ERROR or status in BUSY:
        return NotServedError(
            f"The model server failed ({status}).", retry_after=retry_after(error.response.headers, now)
        )
    return TerminalError(f"The model server does not accept the request ({status}).", code="model_rejected")
