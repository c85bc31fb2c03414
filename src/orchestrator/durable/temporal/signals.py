"""Signals as Temporal carries them: the data, and beside it the identity under which a signal counts once.

An operator's `temporal workflow signal` gives the data alone, or nothing, and each is a signal of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from orchestrator.durable.temporal.unreadable import check_readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from temporalio.api.common.v1 import Payload

_NOTHING: Final = b"null"
_JSON: Final = b"json/"


def signal_of(arguments: Sequence[Payload]) -> tuple[bytes, bytes | None]:
    """A signal's data and its identity, as JSON; None for an identity that was not given.

    Raises:
        UnreadableError: one of them cannot be read now.
    """
    data, identity, *_ = (*map(_json_of, arguments), None, None)
    return data or _NOTHING, identity


def _json_of(payload: Payload) -> bytes:
    """The JSON that was carried; what is none counts as nothing."""
    check_readable(payload)
    return payload.data if payload.metadata["encoding"].startswith(_JSON) else _NOTHING
