"""`engine hooks` (or `webhooks`): requests from outside, listed and tried (operations.md §1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import click

from engine.cli import at_rest
from engine.cli.app import Group, here
from engine.cli.ask import Line, gateway_options
from engine.cli.ending import dumped
from engine.cli.place import Place
from engine.cli.render import show_table
from jobs.errors import AccessRefused, EngineError, GatewayDown, NotFound

_REFUSED: Final = 400  # and beyond


@click.group(cls=Group, name="hooks", epilog="Example: engine hooks list")
def group() -> None:
    """Requests from outside that wake an agent."""


@group.command("list", epilog="Example: engine hooks list --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def listing(ctx: click.Context, as_json: bool) -> None:
    """Which paths are served, and what each does."""
    told = _listed(here(ctx))
    if as_json:
        click.echo(dumped(told))
        return
    if not told["enabled"]:
        click.echo(f"Hooks are off. Fix: {_way_on(told)}")
    rows = [
        (one["path"], one["action"], one["agentId"] or "-", one["name"]) for one in told["hooks"]
    ]
    show_table(("PATH", "DOES", "AGENT", "NAME"), rows, keep=1)


def _listed(place: Place) -> dict[str, Any]:
    hooks = at_rest.loaded(place).config.hooks
    base = "/" + hooks.path.strip("/")
    rows: list[dict[str, Any]] = [
        {"path": f"{base}/wake", "action": "wake", "agentId": None, "name": "built in"},
        {"path": f"{base}/agent", "action": "agent", "agentId": None, "name": "built in"},
    ]
    rows += [
        {
            "path": f"{base}/{(one.match.path or one.id or '*').strip('/')}",
            "action": one.action,
            "agentId": one.agent_id,
            "name": one.name or one.id or "-",
        }
        for one in hooks.mappings
    ]
    return {"enabled": hooks.enabled, "token": hooks.token is not None, "hooks": rows}


def _way_on(told: Mapping[str, Any]) -> str:
    """The next step to hooks that are served: none is switched on without a token."""
    key = "hooks.enabled true" if told["token"] else "hooks.token NEW_TOKEN"
    return f"engine config set {key}"


@group.command(epilog='Example: engine hooks test wake --text "the build is red"')
@click.argument("name", default="wake")
@click.option("--text", default="This is a test of the hooks.", help="What it says.")
@gateway_options()
def test(line: Line, name: str, text: str) -> None:
    """Send one, as another program would, and say what came back."""
    place = line.place
    told, hooks = _listed(place), at_rest.loaded(place).config.hooks
    if not told["enabled"] or hooks.token is None:
        raise NotFound("no hook is served", why="hooks are off", fix=_way_on(told))
    base = "/" + hooks.path.strip("/")
    where = urlsplit(line.address.url)
    scheme = "https" if where.scheme == "wss" else "http"
    url = f"{scheme}://{where.netloc}{base}/{name.strip('/')}"
    body = {"text": text, "message": text, "mode": "now"}
    status, answer = _sent(line, url, body, hooks.token.reveal())
    line.show({"ok": True, "url": url, "status": status, "answer": answer}, _words)


def _sent(line: Line, url: str, body: Mapping[str, Any], token: str) -> tuple[int, Any]:
    import json
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    where = urlsplit(url)
    secure = where.scheme == "https"
    kind = HTTPSConnection if secure else HTTPConnection
    wire = kind(where.netloc, timeout=line.timeout.total_seconds())
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        wire.request("POST", where.path, json.dumps(body).encode(), headers)
        answer = wire.getresponse()
        told: Any = answer.read().decode("utf-8", "replace")
    except (OSError, HTTPException) as error:
        raise GatewayDown(
            f"nobody answered at {url}", why=str(error), fix=f"{line.place.program} gateway"
        ) from error
    finally:
        wire.close()
    if "json" in (answer.getheader("Content-Type") or ""):
        told = json.loads(told)
    if answer.status in (401, 403, 429):
        raise AccessRefused(f"{url} refused the token", why=str(told), fix="engine hooks list")
    if answer.status >= _REFUSED:
        raise EngineError(f"{url} answered {answer.status}", why=str(told), fix="engine hooks list")
    return answer.status, told


def _words(told: Mapping[str, Any]) -> str:
    answer = told["answer"] or "nothing (it was dropped by its mapping)"
    return f"{told['url']} answered {told['status']}: {answer}"
