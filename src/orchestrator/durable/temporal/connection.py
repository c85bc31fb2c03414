"""How a Temporal cluster is reached: address, namespace, TLS, key; and what went wrong when it is not."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path  # noqa: TC003  # a field's type
from typing import TYPE_CHECKING, Final, NoReturn

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, HeaderCodecBehavior
from temporalio.converter import DataConverter
from temporalio.service import RPCError, RPCStatusCode, TLSConfig

from orchestrator.core.errors import SettingsError, UnavailableError
from orchestrator.durable.temporal.sdk_runtime import quiet_runtime

if TYPE_CHECKING:
    from collections.abc import Callable

# A server that takes longer is as good as not there; the first is below what a health probe may take.
ANSWER_LIMIT: Final = timedelta(seconds=1.5)
CONNECT_LIMIT_S: Final = 5.0

# The SDK tells what went wrong as its inner parts print themselves; what is meant for people is quoted there.
_SENTENCE: Final = re.compile(r'(?:message|error): "([^"]+)"')

# In the handshake, or, by TLS 1.3, in the first call after it.
_BROKEN_OFF: Final = ("transport error", "operation was canceled")
_REFUSED: Final = {RPCStatusCode.UNAUTHENTICATED, RPCStatusCode.PERMISSION_DENIED}


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is encrypted; without files and name as the machine's own certificates say.

    Attributes:
        ca_file: certificates, in PEM, of who may have signed the server's; None takes the system's.
        cert_file: this side's certificate, in PEM, where the server asks for one; it goes with ``key_file``.
        key_file: the private key of ``cert_file``.
        server_name: the name in the server's certificate, where it is not the host of the address.
    """

    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name: str | None = None

    def __post_init__(self) -> None:
        """Refuse half of a pair."""
        if (self.cert_file is None) != (self.key_file is None):
            raise SettingsError("a client certificate and its private key are given together, or neither")

    def config(self) -> TLSConfig:
        """The same in the SDK's terms.

        Raises:
            SettingsError: a file cannot be read.
        """
        return TLSConfig(
            server_root_ca_cert=_read(self.ca_file),
            client_cert=_read(self.cert_file),
            client_private_key=_read(self.key_file),
            domain=self.server_name,
        )


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a Temporal cluster is and how it is spoken to. A key, as for Temporal Cloud, implies TLS."""

    address: str = "localhost:7233"
    namespace: str = "default"
    tls: bool | Tls = False
    api_key: str | None = field(default=None, repr=False)

    async def open(self, converter: DataConverter = DataConverter.default) -> Client:
        """A client that has been answered.

        Raises:
            UnavailableError: no server answers, or it has no such namespace yet.
            SettingsError: the server refuses the key, or a certificate is not right.
        """
        client = await self._connect(converter)
        await self.check(client)
        return client

    async def check(self, client: Client) -> None:
        """See whether the server that ``client`` reached answers now; raises as ``open`` does."""
        try:
            await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=self.namespace), timeout=ANSWER_LIMIT
            )
        except RPCError as error:
            self._explain(error)

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return bool(self.tls) or self.api_key is not None

    async def _connect(self, converter: DataConverter) -> Client:
        tls = self.tls.config() if isinstance(self.tls, Tls) else self.uses_tls
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                return await Client.connect(
                    self.address,
                    namespace=self.namespace,
                    tls=tls,
                    api_key=self.api_key,
                    data_converter=converter,
                    header_codec_behavior=HeaderCodecBehavior.CODEC,
                    runtime=quiet_runtime(),
                )
        except TimeoutError as error:
            raise UnavailableError(f"no Temporal server answers at {self.address} in time") from error
        except ValueError as error:
            raise SettingsError(f"{self.address!r} is no address of a Temporal server: {error}") from error
        except RuntimeError as error:
            self._explain_silence(error)

    def _explain(self, error: RPCError) -> NoReturn:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise UnavailableError(
                f"the Temporal server at {self.address} has no namespace {self.namespace!r}; make it with "
                f"`temporal operator namespace create {self.namespace}`, or name one that is there"
            ) from error
        if error.status in _REFUSED:
            raise SettingsError(self._refusal()) from error
        said = str(error)
        raise UnavailableError(
            f"no Temporal server answers at {self.address}: {said}{self._hint(said)}"
        ) from error

    def _explain_silence(self, error: RuntimeError) -> NoReturn:
        """Say what the SDK's words mean; it tells all troubles of connecting as one kind of error."""
        said = str(error)
        for word, meaning in _MEANINGS.items():
            if word in said:
                raise SettingsError(meaning(self)) from error
        raise UnavailableError(
            f"no Temporal server answers at {self.address}: {_sentence(said)}{self._hint(said)}"
        ) from error

    def _hint(self, said: str) -> str:
        """What a server may lack that took the connection and broke it off."""
        if not any(words in said for words in _BROKEN_OFF):
            return ""
        wants = "a client certificate or another one" if self.uses_tls else "TLS"
        return f"; perhaps it wants {wants}"

    def _refusal(self) -> str:
        given = "needs an API key, and none is given" if self.api_key is None else "refuses the API key"
        return f"the Temporal server at {self.address} {given} for the namespace {self.namespace!r}"

    def _name(self) -> str:
        named = self.tls.server_name if isinstance(self.tls, Tls) else None
        return named or self.address.rpartition(":")[0]


_MEANINGS: Final[dict[str, Callable[[Connection], str]]] = {
    "PermissionDenied": Connection._refusal,  # noqa: SLF001  # its own table
    "Unauthenticated": Connection._refusal,  # noqa: SLF001
    "UnknownIssuer": lambda to: (
        f"the certificate of the Temporal server at {to.address} is signed by nobody whom this machine "
        "knows; give the file with its authority's certificate (tls: ca_file)"
    ),
    "NotValidForName": lambda to: (
        f"the certificate of the Temporal server at {to.address} is not for {to._name()!r}; "  # noqa: SLF001
        "give the name that is in it (tls: server_name)"
    ),
    "Expired": lambda to: f"the certificate of the Temporal server at {to.address} has expired",
    "InvalidCertificate": lambda to: (
        f"the certificate of the Temporal server at {to.address} does not do for a server"
    ),
    "CertificateRequired": lambda to: (
        f"the Temporal server at {to.address} asks for a client certificate; give one "
        "(tls: cert_file, key_file)"
    ),
    "PrivateKeyParseError": lambda _: "the client certificate's private key (tls: key_file) cannot be read",
    "InvalidContentType": lambda to: (
        f"the Temporal server at {to.address} does not speak TLS; leave tls and the API key out"
    ),
}


def _sentence(said: str) -> str:
    """The innermost sentence in the SDK's words, or all of them."""
    sentences = _SENTENCE.findall(said)
    return str(sentences[-1]) if sentences else said


def _read(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SettingsError(f"the file {file} cannot be read: {error.strerror}") from error
    if b"-----BEGIN " not in data:
        raise SettingsError(f"the file {file} is not in PEM, which has a line that begins with -----BEGIN")
    return data
