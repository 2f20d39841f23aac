"""Channels that come with other packages: which there are, and how one is loaded.

What is installed does not change while a process runs, so it is looked up once, and not before
somebody names a channel that is not built in. Nothing is imported before it is configured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Final

GROUP: Final = "heartbeat_engine.channels"  # entry points: a channel's id = module:object


class NotLoaded(Exception):
    """A channel that is installed and cannot be used; the text says why."""


@cache
def installed() -> Mapping[str, str]:
    """Where each channel of other packages is, by its id."""
    return {one.name.strip().lower(): one.value for one in entry_points(group=GROUP)}


def origin(name: str) -> tuple[str | None, str | None]:
    """Return the package that brings a channel, and its version."""
    for one in entry_points(group=GROUP):
        if one.name.strip().lower() == name and one.dist is not None:
            return one.dist.name, one.dist.version
    return None, None


def open_words(names: Iterable[str]) -> str:
    """Say that any plugin that is installed may be used."""
    found = ", ".join(sorted(names))
    return f"plugins.allow is empty; discovered non-bundled plugins may auto-load: {found}"


def named(word: str) -> str | None:
    """Return the installed channel of that name; only what may be a name is looked up."""
    name = word.strip().lower()
    plain = name.replace("-", "").replace("_", "")
    return name if plain.isalnum() and plain[:1].isalpha() and name in installed() else None


def load(name: str) -> Any:
    """Return what the entry point of a channel names. Raises `NotLoaded`.

    Whatever another package does while it is imported harms nobody but its own channel.
    """
    where = installed().get(name)
    if where is None:
        raise NotLoaded(f"no installed package brings a channel {name}")
    module, _, attribute = where.partition(":")
    try:
        return getattr(import_module(module.strip()), attribute.strip() or "PLUGIN")
    except Exception as error:
        raise NotLoaded(f"{where}: {type(error).__name__}: {error}") from error
