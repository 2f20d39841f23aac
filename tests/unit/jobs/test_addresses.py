"""An address is shown without what opens it."""

from __future__ import annotations

import pytest

from jobs.addresses import address_shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.example/T0/secret?x=1", "https://hooks.example/…"),
        ("https://hooks.example", "https://hooks.example"),
        ("https://hooks.example/", "https://hooks.example/"),
        ("https://me:pass@hooks.example/", "https://hooks.example/…"),
        ("http://127.0.0.1:9?key=1", "http://127.0.0.1:9/…"),
        ("telegram:42", "telegram:42"),
    ],
)
def test_only_where_it_leads_is_shown(url: str, shown: str) -> None:
    assert address_shown(url) == shown
