"""The fixture `engine_sim`. Loaded by pytest itself, so it imports nothing before it is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from engine.testing.simulation import Simulation


class EngineSim(Protocol):
    """What the fixture is: makes simulations that are put away after the test."""

    def __call__(self, config: Any, **options: Any) -> Simulation:
        """Return a simulation; the options are those of `engine.testing.Simulation`."""


@pytest.fixture
def engine_sim(tmp_path: Path) -> Iterator[EngineSim]:
    """Make simulations of a config: the real engine on a clock that the test moves.

    A mapping or a text gets the test's ``tmp_path`` as its home; a file keeps its own.
    """
    from engine.testing.simulation import Simulation

    made: list[Simulation] = []

    def make(config: Any, **options: Any) -> Simulation:
        if isinstance(config, dict):
            options.setdefault("home", tmp_path)
        sim = Simulation(config, **options)
        made.append(sim)
        return sim

    yield make
    for sim in made:
        sim.dispose()
