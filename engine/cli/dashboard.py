"""`engine dashboard`: a link to the status page that lets one browser in (operations.md §1.1)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import click

from engine.cli.ask import Line, gateway_options
from engine.cli.ending import dumped
from jobs.errors import NotFound
from jobs.wallclock import at

_SCHEMES: Final = {"ws": "http", "wss": "https"}
_SCREENS: Final = ("DISPLAY", "WAYLAND_DISPLAY")


@click.command("dashboard", epilog="Example: engine dashboard --no-open")
@click.option("--no-open", "stay", is_flag=True, help="Print the link and open no browser.")
@gateway_options(timeout_ms=5_000)
def command(line: Line, /, stay: bool) -> int:
    """Print a link to the status page, and open it where there is a screen.

    The link lets one browser in, once and within minutes; treat it like a key until then.
    """
    with line.open() as client:
        offered = client.call("dashboard.open")
    url = page_url(line.address.url, str(offered["path"]))
    until = at(offered["expiresAtMs"])
    opened = not stay and not line.as_json and _has_screen(line.place.environ) and _opened(url)
    if line.as_json:
        told: dict[str, Any] = {"url": url, "expiresAtMs": offered["expiresAtMs"], "once": True}
        click.echo(dumped(told))
        return 0
    click.echo(url)
    click.echo(_remark(until, opened=opened, local=line.address.loopback), err=True)
    return 0


def page_url(gateway: str, path: str) -> str:
    """The page's address beside the gateway's WebSocket."""
    parts = urlsplit(gateway)
    if parts.scheme not in _SCHEMES:
        raise NotFound("there is no page behind this address", why=gateway, fix="engine dashboard")
    return f"{_SCHEMES[parts.scheme]}://{parts.netloc}{path}"


def _remark(until: datetime, *, opened: bool, local: bool) -> str:
    told = "opened in your browser" if opened else "open it in a browser"
    where = " on this machine" if local and not opened else ""
    return f"{told}{where}; it is good once, until {until.astimezone():%H:%M:%S}"


def _has_screen(environ: Mapping[str, str]) -> bool:
    return sys.platform in ("darwin", "win32") or any(environ.get(name) for name in _SCREENS)


def _opened(url: str) -> bool:
    import webbrowser

    if "SSH_CONNECTION" in os.environ:
        return False
    return webbrowser.open(url)
