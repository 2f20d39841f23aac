"""Which folders agents of the other home work in, and what its config says of them here. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.edit import set_text, unset_text
from engine.config.json5 import parse
from jobs.errors import EngineError


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """One agent's folder over there, and its name here."""

    agent_id: str
    path: Path
    name: str  # below our home: workspace, workspace-ID
    key: str  # where the config names it
    inside: bool  # it lies in the other home


def found(text: str, home: Path, os_home: Path) -> tuple[Workspace, ...]:
    """Return every agent's workspace, the default agent's first."""
    values = parse(text).root.plain()
    agents = values.get("agents") if isinstance(values, dict) else None
    agents = agents if isinstance(agents, dict) else {}
    defaults = agents.get("defaults")
    shared = defaults.get("workspace") if isinstance(defaults, dict) else None
    rows = agents.get("list")
    listed = [one for one in (rows if isinstance(rows, list) else ()) if isinstance(one, dict)]
    return tuple(_each(listed, shared, home, os_home))


def _each(
    listed: list[dict[str, Any]], shared: Any, home: Path, os_home: Path
) -> Iterator[Workspace]:
    first = next((one for one in listed if one.get("default")), listed[0] if listed else {})
    default = str(first.get("id") or "main")
    for row in [first, *(one for one in listed if one is not first)]:
        ident = str(row.get("id") or default)
        own, is_default = row.get("workspace"), row is first
        usual = home / ("workspace" if is_default else f"workspace-{ident}")
        given = own or (shared if is_default else None)
        path = _expanded(str(given), os_home) if given else usual
        by_list = bool(own) or not is_default
        yield Workspace(
            agent_id=ident,
            path=path,
            name="workspace" if is_default else f"workspace-{ident}",
            key=f"agents.list[id={ident}].workspace" if by_list else "agents.defaults.workspace",
            inside=path.is_relative_to(home),
        )


def _expanded(text: str, os_home: Path) -> Path:
    return os_home / text[2:] if text.startswith("~/") else Path(text)


def rewritten(text: str, places: tuple[Workspace, ...], *, link: bool) -> str:
    """Return the config with workspaces where they are from now on."""
    for one in places:
        if link and one.path.is_dir():
            text = set_text(text, one.key, str(one.path))
        elif one.inside:
            try:
                text = unset_text(text, one.key)
            except EngineError:  # it was nowhere named
                continue
    return text
