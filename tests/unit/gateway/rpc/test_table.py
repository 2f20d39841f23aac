"""Every method has a handler that takes its params."""

from __future__ import annotations

from typing import get_type_hints

import pytest

from gateway.protocol.methods import METHODS
from gateway.rpc.table import HANDLERS


def test_the_tables_of_methods_and_handlers_agree() -> None:
    assert set(HANDLERS) == set(METHODS)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_handler_takes_the_params_of_its_method(name: str) -> None:
    hints = get_type_hints(HANDLERS[name])
    hints.pop("return")
    *_, params = hints.values()
    assert issubclass(METHODS[name].params, params)
