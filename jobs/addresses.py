"""Where an address leads, as it may be shown: what opens it stays out (design.md P7). Pure."""

from __future__ import annotations


def address_shown(url: str) -> str:
    """Where an address leads, without the path and the words that open it."""
    scheme, found, rest = url.partition("://")
    if not found:
        return url
    host, slash, path = rest.partition("?")[0].partition("/")
    host = host.rpartition("@")[2]
    more = bool(path) or "?" in rest or "@" in rest.partition("/")[0]
    return f"{scheme}://{host}/…" if more else f"{scheme}://{host}{slash}"
