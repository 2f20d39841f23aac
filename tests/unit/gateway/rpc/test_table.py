"""Every method has a handler that takes its params."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from gateway.protocol.methods import METHODS
from gateway.rpc.table import HANDLERS
from gateway.rpc.tasks import counted


def test_the_tables_of_methods_and_handlers_agree() -> None:
    assert set(HANDLERS) == set(METHODS)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_handler_takes_the_params_of_its_method(name: str) -> None:
    hints = get_type_hints(HANDLERS[name])
    hints.pop("return")
    *_, params = hints.values()
    assert issubclass(METHODS[name].params, params)


def test_runs_of_a_day_are_counted_under_the_names_tasks_are_listed_by() -> None:
    runs = {"ok": 4, "failed": 2, "missed": 1, "skipped": 1, "claimed": 1, "running": 1}
    assert counted(runs) == {
        "total": 10,
        "active": 2,
        "terminal": 8,
        "failures": 2,
        "byStatus": {"succeeded": 4, "failed": 2, "cancelled": 2, "running": 2},
    }
