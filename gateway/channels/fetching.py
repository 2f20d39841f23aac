"""Fetching what people sent: streamed, bounded, and from nowhere inside (channels.md §5).

An address came from outside, so everything about it is a claim. Each hop is resolved and judged
before it is asked, and asked at the address that was judged. What is said about the length is
checked early and counted all the same; what comes compressed is refused, for a few bytes can
inflate to gigabytes. Errors hold no address: one may hold a token.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from engine.messages.media import size_words
from engine.shelf import NotSaved
from gateway.channels.addresses import Resolve, private, resolved
from gateway.channels.rest import client

HOPS: Final = 3
_TIMEOUT: Final = httpx.Timeout(15.0, connect=10.0)
_PORTS: Final = {"https": 443, "http": 80}
_MOVED: Final = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Source:
    """Where a file lies. ``own`` is the platform's own server, as configured: it may lie inside,
    and never sends anybody elsewhere.
    """

    url: str
    own: bool = False
    resolve: Resolve = field(default=resolved)
    inside: Callable[[Sequence[str]], str | None] = field(default=private)


def same_server(url: str, base: str) -> bool:
    """Whether an address lies on the server that an operator configured."""
    try:
        one, other = urlsplit(url), urlsplit(base)
        return (one.scheme, one.hostname, one.port) == (other.scheme, other.hostname, other.port)
    except ValueError:
        return False


async def pieces(source: Source, most: int) -> AsyncGenerator[bytes]:
    """Return what lies there as it comes. Raises `NotSaved`."""
    here, size = client(_TIMEOUT, kept=False), 0
    try:
        async with aclosing(_pieces(here, source, most)) as found:
            async for piece in found:
                size += len(piece)
                if size > most:
                    raise NotSaved(f"it has more than the {size_words(most)} that are taken")
                yield piece
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, UnicodeError) as error:
        raise NotSaved(f"it was not fetched: {type(error).__name__}") from None
    finally:
        await here.aclose()


async def _pieces(here: httpx.AsyncClient, source: Source, most: int) -> AsyncGenerator[bytes]:
    url = httpx.URL(source.url)
    for _ in range(HOPS + 1):
        answer = await here.send(await _request(here, url, source), stream=True)
        try:
            if answer.status_code in _MOVED and not source.own:
                url = url.join(answer.headers.get("location", ""))
                continue
            _judge(answer, most)
            async for piece in answer.aiter_raw():
                yield piece
            return
        finally:
            await answer.aclose()
    raise NotSaved(f"it was moved more than {HOPS} times")


def _judge(answer: httpx.Response, most: int) -> None:
    """Refuse by what the answer says of itself; what it does not say is counted."""
    if answer.status_code in _MOVED:
        raise NotSaved("the platform sends elsewhere for it")
    if not answer.is_success:
        raise NotSaved(f"the server answered HTTP {answer.status_code}")
    if answer.headers.get("content-encoding", "identity").lower() != "identity":
        raise NotSaved("it comes compressed, which nobody asked for")
    said = answer.headers.get("content-length", "")
    if said.isdecimal() and int(said) > most:
        raise NotSaved(too_large(int(said), most))


def too_large(size: int, most: int) -> str:
    """Return why a file of a size is not fetched."""
    return f"it has {size_words(size)}; the most that is taken is {size_words(most)}"


async def _request(here: httpx.AsyncClient, url: httpx.URL, source: Source) -> httpx.Request:
    """Return the request to the address that was judged, under the name that was asked for."""
    if url.scheme not in _PORTS or not url.host:
        raise NotSaved("its address is none of the web")
    headers: Mapping[str, str] = {"Accept-Encoding": "identity"}
    if source.own:
        return here.build_request("GET", url, headers=headers)
    addresses = await source.resolve(url.host, url.port or _PORTS[url.scheme])
    if (inside := source.inside(addresses)) is not None:
        raise NotSaved(f"its address leads into a private network ({inside})")
    if not addresses:
        raise NotSaved("its address leads nowhere")
    extensions: dict[str, Any] = {"sni_hostname": url.host}
    request = here.build_request(
        "GET", url.copy_with(host=addresses[0]), headers=headers, extensions=extensions
    )
    request.headers["Host"] = url.netloc.decode("ascii")
    return request
