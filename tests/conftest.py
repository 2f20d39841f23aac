"""What every test starts from: an environment that says nothing, and how hard to search."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("dev", max_examples=50, deadline=None, print_blob=True)
settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("soak", max_examples=20_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(scope="session")
def _nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nobodys-home")


@pytest.fixture(autouse=True)
def _quiet_environment(monkeypatch: pytest.MonkeyPatch, _nobodys_home: Path) -> None:
    """Whoever runs the tests has a home, a zone and perhaps an engine: no test sees them."""
    for name in os.environ:
        if name.startswith("ENGINE_") and not name.startswith("ENGINE_TEST_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(_nobodys_home))
    monkeypatch.setenv("TZ", "UTC")
