"""Which addresses are this machine."""

from __future__ import annotations

import pytest

from gateway.protocol.address import host_of, is_loopback, is_private


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_every_spelling_of_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "10.0.0.1", "127.evil.example", "localhost.evil"])
def test_a_name_that_looks_like_loopback_is_none(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("url", "host"),
    [("ws://[::1]:1/x", "::1"), ("//box:18789", "box"), ("//", ""), ("http://[broken", "")],
)
def test_the_host_of_an_address(url: str, host: str) -> None:
    assert host_of(url) == host


def test_only_addresses_are_private_networks() -> None:
    assert is_private("192.168.1.7")
    assert not is_private("203.0.114.9")
    assert not is_private("router")
