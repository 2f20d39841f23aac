"""The package's own fixture, also where the package is not installed."""

from __future__ import annotations

from engine.pytest_plugin import engine_sim as engine_sim
