"""Every error of the house, in one tree.

    OrchestratorError
    ├── TerminalError               trying again cannot help
    │   ├── InvalidInputError       400
    │   ├── UnauthorizedError       401
    │   ├── ForbiddenError          403
    │   ├── NotFoundError           404
    │   ├── ConflictError           409
    │   ├── PayloadTooLargeError    413
    │   ├── SettingsError           the service does not start
    │   └── BudgetExceededError     429
    ├── RetryableError              trying again may help, perhaps after some seconds
    │   ├── RateLimitedError        429
    │   └── UnavailableError        503
    └── InternalError               500, our own fault

An error knows its HTTP status, a stable ``code`` for programs and a message for people.
``orchestrator.web.problems`` renders all of them; durable steps look only at the three kinds.
"""

from __future__ import annotations

from typing import ClassVar


class OrchestratorError(Exception):
    """Something went wrong in a way that we know how to explain."""

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal"

    def __init__(self, message: str | None = None, *, code: str | None = None) -> None:
        """Take a message for people (the class docstring's first line if none) and a stable code."""
        self.message = message or (type(self).__doc__ or "").partition("\n")[0]
        self.code = code or self.default_code
        super().__init__(self.message)


class TerminalError(OrchestratorError):
    """This cannot succeed, however often it is tried."""

    status = 422
    default_code = "terminal"


class InvalidInputError(TerminalError):
    """The request is not valid."""

    status = 400
    default_code = "invalid_input"


class UnauthorizedError(TerminalError):
    """Sign in first."""

    status = 401
    default_code = "unauthorized"


class ForbiddenError(TerminalError):
    """This is not allowed."""

    status = 403
    default_code = "forbidden"


class NotFoundError(TerminalError):
    """There is no such thing."""

    status = 404
    default_code = "not_found"


class ConflictError(TerminalError):
    """This contradicts the present state."""

    status = 409
    default_code = "conflict"


class PayloadTooLargeError(TerminalError):
    """This is larger than allowed."""

    status = 413
    default_code = "payload_too_large"


class SettingsError(TerminalError):
    """The settings are wrong."""

    status = 500
    default_code = "settings"


class BudgetExceededError(TerminalError):
    """The budget is used up."""

    status = 429
    default_code = "budget_exceeded"


class RetryableError(OrchestratorError):
    """This did not work now and may work later."""

    status = 503
    default_code = "retryable"

    def __init__(
        self, message: str | None = None, *, code: str | None = None, retry_after: float | None = None
    ) -> None:
        """Besides message and code, take the seconds to wait before the next try, where known."""
        super().__init__(message, code=code)
        self.retry_after = retry_after


class RateLimitedError(RetryableError):
    """Too many requests; slow down."""

    status = 429
    default_code = "rate_limited"


class UnavailableError(RetryableError):
    """A part that this needs cannot be reached right now."""

    status = 503
    default_code = "unavailable"


class InternalError(OrchestratorError):
    """Something failed on our side."""
