"""What `health` tells of the process (operations.md §9.7)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from engine.config.paths import resolve
from gateway.front.around import Around

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_health_names_the_keys_that_wait_for_a_restart(tmp_path: Path) -> None:
    pending: tuple[str, ...] = ()
    around = Around(
        paths=resolve({"HOME": str(tmp_path)}),
        boot_id="boot-1",
        began=NOW,
        uptime_ms=lambda: 1,
        armed_for=lambda: None,
        lag=timedelta,
        refused=lambda: False,
        pending=lambda: pending,
        degraded=lambda: False,
    )
    assert around.told({}, [], False)["config"]["pendingRestart"] == []
    pending = ("gateway.port",)
    assert around.told({}, [], False)["config"]["pendingRestart"] == ["gateway.port"]
