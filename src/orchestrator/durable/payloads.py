"""Values that cross between workflows, steps and the journal: JSON by pydantic, never pickle."""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass
from typing import Any, cast

import pydantic_core
from pydantic import PydanticUndefinedAnnotation, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from orchestrator.core.errors import PayloadTooLargeError, TerminalError
from orchestrator.core.redaction import NO_SECRETS_KNOWN, Redactor

if typing.TYPE_CHECKING:
    from collections.abc import Callable

# The most that one value may take, encoded, unless an engine is told otherwise. Writing and reading JSON of
# this size holds up everything else in the process for half a second (one text) to four (a million records).
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class PayloadError(TerminalError):
    """A value cannot be written as JSON of its declared type, or not be read back as it."""

    default_code = "payload"


@dataclass(frozen=True, slots=True)
class PayloadRules:
    """What an engine lets be recorded: values of at most so many bytes, failures without these secrets."""

    most_bytes: int = MAX_PAYLOAD_BYTES
    redactor: Redactor = NO_SECRETS_KNOWN

    def __post_init__(self) -> None:
        """Refuse a maximum under which nothing could be recorded."""
        if self.most_bytes < 1:
            raise ValueError(f"most_payload_bytes={self.most_bytes}: give 1 or more")


USUAL_RULES = PayloadRules()


class Payload:
    """How values of one declared type are written and read.

    The type's schema is built at first use, since annotations may name what is defined further down.
    """

    def __init__(self, declared: Callable[[], Any], what: str) -> None:
        self._declared = declared
        self._what = what
        self._adapter: TypeAdapter[Any] | None = None

    @classmethod
    def of(cls, declared: Any, what: str) -> Payload:
        """For values declared as the type ``declared``; ``what`` names them in errors."""
        return cls(lambda: declared, what)

    @classmethod
    def returned_by(cls, function: Callable[..., Any]) -> Payload:
        """For what ``function`` is annotated to return."""
        name = function.__qualname__
        return cls(lambda: _hints(function).get("return", Any), f"the result of {name}")

    def encode(self, value: object, most_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
        """``value`` as JSON.

        Raises:
            PayloadError: it is not of the declared type, or has no JSON form.
            PayloadTooLargeError: it takes more than ``most_bytes``.
        """
        try:
            data = self._ready().serializer.to_json(value, warnings="error")
        except (pydantic_core.PydanticSerializationError, ValueError, RecursionError) as error:
            raise PayloadError(f"{self._what} cannot be recorded: {self._why_not(value, error)}") from error
        return within_limit(data, self._what, most_bytes)

    def record(self, value: object, most_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
        """``value`` as JSON that is known to be read back: what is checked before it is kept.

        Raises:
            PayloadError: as ``encode``, or its JSON is not of the declared type (a NaN becomes ``null``).
            PayloadTooLargeError: it takes more than ``most_bytes``.
        """
        data = self.encode(value, most_bytes)
        self.decode(data)
        return data

    def decode(self, data: bytes) -> Any:
        """The value again.

        Raises:
            PayloadError: the JSON is not of the declared type.
        """
        try:
            return self._ready().validator.validate_json(data)
        except ValidationError as error:
            raise PayloadError(f"{self._what} does not fit its type: {_brief(error)}") from error

    def _why_not(self, value: object, error: Exception) -> str:
        """What keeps ``value`` from being written: in the words of validation, which are for people."""
        if _is_awaitable(value):
            return "it was not awaited; write `await` before it"
        try:
            self._ready().validator.validate_python(value, strict=True)
        except ValidationError as mismatch:
            return _brief(mismatch)
        except RecursionError:
            pass
        return str(error)

    def _ready(self) -> TypeAdapter[Any]:
        if self._adapter is None:
            try:
                self._adapter = TypeAdapter(self._declared())
            except (PydanticUndefinedAnnotation, NameError, pydantic_core.SchemaError, TypeError) as error:
                raise PayloadError(f"{self._what} has no usable type annotation: {error}") from error
        return self._adapter


class Arguments:
    """How the arguments of one function cross: as a JSON object by parameter name."""

    def __init__(self, function: Callable[..., Any], name: str, *, skip_first: bool) -> None:
        parameters = list(inspect.signature(function).parameters.values())[1 if skip_first else 0 :]
        for parameter in parameters:
            if parameter.kind not in _BY_NAME:
                raise TypeError(
                    f"step {name} takes {parameter}: what is recorded needs a name, so take plain parameters"
                )
        self._signature = inspect.Signature(parameters)
        self._names = tuple(parameter.name for parameter in parameters)
        self._all_positional = all(p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in parameters)
        self._payload = Payload(lambda: self._shape(function, name), f"the arguments of {name}")

    def encode(
        self, args: tuple[object, ...], kwargs: dict[str, object], most_bytes: int = MAX_PAYLOAD_BYTES
    ) -> bytes:
        """The call's arguments as JSON.

        Raises:
            TypeError: the function does not take them.
            PayloadError: one of them has no JSON form.
            PayloadTooLargeError: together they take more than ``most_bytes``.
        """
        if not kwargs and self._all_positional and len(args) == len(self._names):
            return self._payload.encode(dict(zip(self._names, args, strict=True)), most_bytes)
        return self._payload.encode(self._signature.bind(*args, **kwargs).arguments, most_bytes)

    def decode(self, data: bytes) -> dict[str, Any]:
        """The arguments by name; defaults that were left out stay left out."""
        return cast("dict[str, Any]", self._payload.decode(data))

    def _shape(self, function: Callable[..., Any], name: str) -> Any:
        hints = _hints(function)
        fields = {parameter: hints.get(parameter, Any) for parameter in self._names}
        return TypedDict(f"Arguments_{name}", fields, total=False)  # type: ignore[operator]  # built at run time


def to_json(value: object, what: str, most_bytes: int = MAX_PAYLOAD_BYTES) -> bytes:
    """Any JSON-like value (pydantic models and dataclasses included) as JSON.

    Raises:
        PayloadError: it has no JSON form.
        PayloadTooLargeError: it takes more than ``most_bytes``.
    """
    try:
        return within_limit(pydantic_core.to_json(value), what, most_bytes)
    except (pydantic_core.PydanticSerializationError, ValueError, RecursionError) as error:
        raise PayloadError(f"{what} cannot be recorded: {error}") from error


def within_limit(data: bytes, what: str, most_bytes: int) -> bytes:
    """``data`` itself, if it is not too large.

    Raises:
        PayloadTooLargeError: it takes more than ``most_bytes``.
    """
    if len(data) > most_bytes:
        raise PayloadTooLargeError(
            f"{what} takes {len(data):,} bytes; at most {most_bytes:,} are recorded. "
            "Store it elsewhere and pass a reference."
        )
    return data


def _is_awaitable(value: object) -> bool:
    """Whether it is what `ctx.run` or an async function gives, or one of the arguments is."""
    values = value.values() if isinstance(value, dict) else (value,)
    return any(inspect.isawaitable(one) for one in values)


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    return typing.get_type_hints(function, include_extras=True)


def _brief(error: ValidationError) -> str:
    """The first problems of a validation error, without the values, which may be private."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)[:3]
    return "; ".join(f"{'.'.join(map(str, p['loc'])) or 'value'}: {p['msg']}" for p in problems)
