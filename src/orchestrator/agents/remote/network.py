"""The way to agents on the network: a transport of httpx2 made of aiohttp, which costs a third of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp.client_reqrep import ConnectionKey
    from aiohttp.tracing import Trace

# Below the 5 s after which uvicorn closes a connection that nobody uses, lest a request meet that.
IDLE_LIMIT_S: Final = 4.0


def way_to(url: httpx2.URL, *, by_proxy: bool) -> httpx2.AsyncBaseTransport:
    """What reaches the agents below ``url``, ``by_proxy`` where the environment names one for them."""
    proxy = _proxy_for(url) if by_proxy else None
    if proxy is None:
        return Network(url)
    # The library's own transport knows every kind of proxy.
    limits = httpx2.Limits(max_connections=None, keepalive_expiry=IDLE_LIMIT_S)
    return httpx2.AsyncHTTPTransport(proxy=proxy, limits=limits)


def _proxy_for(url: httpx2.URL) -> str | None:
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(url.host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


class Network(httpx2.AsyncBaseTransport):
    """Connections that are kept open for the next request.

    A request is sent once, without a time limit. Cookies are not kept, redirects not followed, and bodies
    are given as they come.
    """

    def __init__(self, url: httpx2.URL) -> None:
        """Take the address of what is to be reached; certificates are checked as httpx2 does."""
        self._tls = httpx2.create_ssl_context() if url.scheme == "https" else True
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer to ``request``, its body still to come.

        Raises:
            httpx2.NetworkError: the connection failed or broke off, or what came is no HTTP.
        """
        if self._session is None:
            self._session = self._opened()
        response = await self._session.request(
            request.method,
            _as_sent(request.url),
            headers=request.headers.multi_items(),
            data=await request.aread() or None,
            allow_redirects=False,
        )
        return httpx2.Response(response.status, headers=response.raw_headers, stream=_Body(response))

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        """A session of the loop that runs."""
        return aiohttp.ClientSession(
            connector=_Connections(limit=0, keepalive_timeout=IDLE_LIMIT_S, ssl=self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,
            middlewares=(_once,),
        )


class _Connections(aiohttp.TCPConnector):
    """Connections of which none is used again on which something came unasked.

    That would be taken for the answer to the next request, which is about somebody else.
    """

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> aiohttp.connector.Connection | None:
        connection = await super()._get(key, traces)
        while connection is not None and connection.protocol is not None and connection.protocol.should_close:
            connection.close()
            connection = await super()._get(key, traces)
        return connection


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Send it, and say in httpx2's words what went wrong: by its own, aiohttp sends a GET a second time."""
    try:
        return await send(request)
    except (aiohttp.ClientError, OSError) as error:
        raise httpx2.NetworkError(str(error)) from error


class _Body(httpx2.AsyncByteStream):
    """The body of an answer as it comes."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._response.content.iter_any():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise httpx2.NetworkError(str(error)) from error

    async def aclose(self) -> None:
        """Leave the connection to the next request; one on which more is to come is closed."""
        self._response.release()


def _as_sent(url: httpx2.URL) -> URL:
    """The same address, encoded already."""
    return URL(f"{url.scheme}://{url.netloc.decode()}{url.raw_path.decode()}", encoded=True)
