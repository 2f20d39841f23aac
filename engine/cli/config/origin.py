"""`engine config get --origin`: which layer supplied the value in force (operations.md §2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from engine.cli.config.file import text_of, tree
from engine.cli.ending import dumped
from engine.cli.place import Place
from engine.config.edit import find
from engine.config.keypath import parse_path
from engine.config.masks import masked
from jobs.errors import InvalidInput

# Variables that stand above the file (operations.md §2.3).
OVER: Final = {
    "gateway.port": "ENGINE_GATEWAY_PORT",
    "gateway.bind": "ENGINE_GATEWAY_BIND",
    "gateway.auth.token": "ENGINE_GATEWAY_TOKEN",
    "gateway.auth.password": "ENGINE_GATEWAY_PASSWORD",
    "logging.level": "ENGINE_LOG_LEVEL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A value and the layer it comes from."""

    value: Any
    layer: str  # environment | file | default
    words: str
    file: str | None = None
    line: int | None = None
    column: int | None = None


def told(at: Place, path: str, *, as_json: bool) -> int:
    """Print the value in force and its layer; 1 where no layer has one."""
    found = origin(at, path)
    names = [part for part in parse_path(path) if isinstance(part, str)]
    value = masked(found.value, *names)
    if as_json:
        place = {"file": found.file, "line": found.line, "column": found.column}
        facts = {"path": path, "value": value, "layer": found.layer, "origin": found.words}
        click.echo(dumped(facts | {k: v for k, v in place.items() if v is not None}))
    else:
        if value is not None:
            click.echo(value if isinstance(value, str) else dumped(value))
        click.echo(f"from {found.words}")
    return 0 if value is not None else 1


def origin(at: Place, path: str) -> Origin:
    """Ask the layers from the highest down: environment, file with its includes, default."""
    variable = OVER.get(path)
    if variable is not None and (given := at.environ.get(variable, "").strip()):
        return Origin(
            value=_plain(given), layer="environment", words=f"the environment ({variable})"
        )
    from engine.config import writing

    main = at.paths.config
    writing.refuse_unreadable(main, text_of(main))
    root = tree(at) if main.exists() else None
    node = find(root, parse_path(path)) if root is not None else None
    if node is not None:
        return _of_file(at, node)
    if path == "gateway.auth.token" and at.paths.token_file.is_file():
        token = at.paths.token_file.read_text("utf-8").strip()
        return Origin(value=token, layer="file", words=str(at.paths.token_file))
    return _default(at, path)


def _of_file(at: Place, node: Any) -> Origin:
    from engine.config.load import environment
    from engine.config.variables import expand

    place, value = node.place, node.plain()
    words = f"the file ({place.file}:{place.line}:{place.column})"
    if isinstance(value, str) and "${" in value:
        env, origins = environment(at.environ, state=at.paths.state, cwd=Path.cwd())
        names: list[str] = []
        value = expand(value, _Seen(env, names))
        layers = [f"{name} from {origins.get(name, 'nowhere')}" for name in names]
        words += f", with {', '.join(layers)}"
    return Origin(
        value=value, layer="file", words=words, file=place.file, line=place.line,
        column=place.column,
    )  # fmt: skip


class _Seen(dict[str, str]):
    """Variables, and which of them were asked for."""

    def __init__(self, values: dict[str, str], names: list[str]) -> None:
        super().__init__(values)
        self._names = names

    def get(self, key: str, default: Any = None) -> Any:
        self._names.append(key)
        return super().get(key, default)


def _default(at: Place, path: str) -> Origin:
    from engine.config.docs import describe, nearest

    found = describe(path)
    if found is None:
        near = nearest(path)
        raise InvalidInput(
            f"{path} is not a key of the config",
            why=f"did you mean {near}?" if near else "",
            fix=f"engine config get {near}" if near else "engine config schema",
        )
    value = at.paths.default_port if path == "gateway.port" else found.default
    if value is None:
        return Origin(value=None, layer="none", words="nowhere: it is not set and has no default")
    return Origin(value=_plain(value), layer="default", words="the built-in default")


def _plain(value: Any) -> Any:
    from engine.config.edit import value_of

    return value_of(value) if isinstance(value, str) else value
