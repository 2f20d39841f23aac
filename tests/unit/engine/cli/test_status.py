"""`engine status`: what a person reads when a part of the gateway does not work."""

from __future__ import annotations

from engine.cli import status
from engine.cli.place import Place
from engine.clock import SystemClock
from engine.config.paths import resolve


def test_a_part_that_fails_is_named_with_its_reason() -> None:
    environ = {"ENGINE_STATE_DIR": "/nowhere"}
    place = Place(paths=resolve(environ), environ=environ)
    answers = {"health": {"failing": {"store": "disk is full"}, "agents": []}}
    view = status.View(place=place, now=SystemClock().now(), answers=answers)
    assert "store: disk is full" in status.failing_words(view)
