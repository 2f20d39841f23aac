"""When a change of the file takes effect: asked of the gateway that runs (operations.md §1.4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from engine.cli.ask import Line
from engine.cli.place import Place
from engine.config.keypath import parse_path
from jobs.errors import EngineError

AT_START: Final = "Takes effect when the gateway starts."
_WAIT: Final = timedelta(seconds=10)


def effect(at: Place, paths: Sequence[str]) -> str:
    """The one true sentence.

    The gateway reads the file at once and says itself what it did; one that cannot be asked
    follows the file by itself, and the table of classes says how.
    """
    if at.owner is None:
        return AT_START
    try:
        answer = Line(place=at, timeout=_WAIT).call("config.reload")
        return str(answer["sentence"])
    except (EngineError, KeyError, TypeError):
        return _by_class(at.owner.pid, paths)


def _by_class(pid: int, paths: Sequence[str]) -> str:
    from engine.config.reload import Class, classify

    kinds = {classify(tuple(str(part) for part in parse_path(path))).kind for path in paths}
    if Class.RESTART in kinds:
        return f"Takes effect when the gateway (pid {pid}) is restarted."
    if Class.HOT in kinds:
        return f"The running gateway (pid {pid}) takes it over by itself."
    return "It changes nothing in the running gateway."
