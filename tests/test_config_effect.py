"""A key of the config means something, or whoever writes it is told that it does not yet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from engine.config.docs import inside
from engine.config.keypath import join
from engine.config.load import load
from engine.config.schema import Config
from engine.config.schema.base import Section, inert_words
from tests.config_reads import raw_reads, reads

# Keys whose effect no reader in the sources can show.
OTHERWISE: Final[Mapping[str, str]] = {
    "$schema": "for editors",
    "bindings[].comment": "for people",
    "secrets.defaults.exec": "looked up by the kind of a reference",
}
# Keys that are read and still change nothing.
ONLY_SHOWN: Final[Mapping[str, str]] = {}


def standing(model: type[Section] = Config, path: str = "", inert: str = "") -> dict[str, str]:
    """Every typed key that is no section of its own: why it is inert, or ''."""
    found: dict[str, str] = {}
    for name, info in model.model_fields.items():
        here = join(path, info.alias or name)
        words = inert or inert_words(info)
        inner, tail = inside(info)
        if inner is None:
            found[here] = words
        else:
            assert issubclass(inner, Section)
            found |= standing(inner, here + tail, words)
    return found


def used() -> set[str]:
    """Every key that is read somewhere."""

    def walk(model: type[Section], path: str) -> set[str]:
        found: set[str] = set()
        for name, info in model.model_fields.items():
            here = join(path, info.alias or name)
            if (model.__name__, name) in reads() or raw_reads(here):
                found.add(here)
            inner, tail = inside(info)
            if inner is not None:
                assert issubclass(inner, Section)
                found |= walk(inner, here + tail)
        return found

    return walk(Config, "")


def test_every_key_is_read_somewhere_or_said_to_have_no_effect() -> None:
    mute = {path for path, words in standing().items() if not words}
    assert mute - used() - OTHERWISE.keys() == set()


def test_a_key_that_is_said_to_have_no_effect_is_read_nowhere() -> None:
    marked = {
        join(path, info.alias or name)
        for path, model in _sections()
        for name, info in model.model_fields.items()
        if inert_words(info) and inside(info)[0] is None
    }
    assert (marked & used()) - ONLY_SHOWN.keys() == set()


def _sections(model: type[Section] = Config, path: str = "") -> list[tuple[str, type[Section]]]:
    found = [(path, model)]
    for name, info in model.model_fields.items():
        inner, tail = inside(info)
        if inner is not None and not inert_words(info):
            assert issubclass(inner, Section)
            found += _sections(inner, join(path, info.alias or name) + tail)
    return found


@pytest.mark.parametrize(
    ("text", "code", "path"),
    [
        ("{agents: {defaults: {heartbeat: {agentId: 'main'}}}}", "key", "agentId"),
        (
            "{agents: {defaults: {heartbeat: {suppressToolErrorWarnings: true}}}}",
            "key",
            "suppressToolErrorWarnings",
        ),
        ("{discovery: {mdns: {mode: 'off'}}}", "section", "discovery"),
    ],
)
def test_whoever_writes_such_a_key_is_told_once(
    tmp_path: Path, text: str, code: str, path: str
) -> None:
    notes = load(tmp_path / "engine.json", {}, raw=text.encode()).notes
    (note,) = [one for one in notes if one.code.startswith("config.inert")]
    assert (note.code, note.path.rpartition(".")[2]) == (f"config.inert_{code}", path)
    assert note.message.startswith("accepted, no effect yet")
